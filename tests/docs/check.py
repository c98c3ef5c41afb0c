#!/usr/bin/env python3
"""What the pages say exists: links, anchors, files of the tree, fields of the API, YAML that can be read."""

import re
import subprocess
import sys

import yaml
from markdown import ROOT, anchors, links, pages, slug, spans, split

TREE = ("docs", "tests", "helm", "images", "crds", "common", "operator", "executor-agent", "standalone")
URL_OF_DOCS = "https://envicutor.io/"


def fields():
    """Every path of the three kinds: spec.run.limits.cpuTime, status.stages.run.exitCode."""
    paths = set()

    def walk(schema, path):
        paths.add(path)
        if "items" in schema:
            walk(schema["items"], path)
        for name, child in schema.get("properties", {}).items():
            walk(child, f"{path}.{name}" if path else name)

    for crd in sorted((ROOT / "crds").glob("*.yaml")):
        walk(yaml.safe_load(crd.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "")
    return paths


def check_links(page, wrong):
    for link in links(page.read_text()):
        if re.match(r"^(https?|mailto):", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if not path.exists():
            wrong.append(f"link to {link}: no such file")
        elif anchor and path.suffix == ".md" and anchor not in anchors(path):
            wrong.append(f"link to {link}: no such heading")


def check_files(page, tracked, wrong):
    _, blocks = split(page.read_text())
    for text in spans(page.read_text()) + blocks:
        for found in re.finditer(r"(?<![\w/$.-])((?:%s)/[\w./-]*\w)" % "|".join(TREE), text):
            name = found.group(1)
            if text[found.end():found.end() + 1] in ("*", "{", "<", "…"):
                continue  # a pattern
            if not any(t == name or t.startswith(name + "/") or t.startswith(name + ".") for t in tracked):
                wrong.append(f"`{name}` is not in the tree")


def check_fields(page, known, wrong):
    for span in spans(page.read_text()):
        for path in re.findall(r"(?<![\w.])(?:submission|runtime|pool)?\.?((?:spec|status)\.[a-zA-Z][\w.\[\]]*)", span):
            plain = re.sub(r"\[[^\]]*\]", "", path).rstrip(".")
            if plain not in known:
                wrong.append(f"`{span}`: no kind has the field {plain}")


def check_yaml(page, wrong):
    for body in re.findall(r"```yaml\n(.*?)\n```", page.read_text(), re.S):
        try:
            list(yaml.safe_load_all(body))
        except yaml.YAMLError as error:
            wrong.append(f"a block of YAML that cannot be read: {error}")


def main():
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                             capture_output=True, text=True).stdout.split()
    known, count = fields(), 0
    guide = ROOT / "docs"
    all_pages = pages()
    for page in all_pages:
        wrong = []
        check_links(page, wrong)
        check_files(page, tracked, wrong)
        check_yaml(page, wrong)
        if guide in page.parents and page.parent.name != "adr":
            check_fields(page, known, wrong)
        for text in wrong:
            print(f"{page.relative_to(ROOT)}: {text}")
        count += len(wrong)
    # Pages that nobody is led to.
    linked = {(p.parent / l.partition("#")[0]).resolve() for p in all_pages for l in links(p.read_text())
              if not l.startswith("http")}
    for page in all_pages:
        if guide in page.parents and page not in linked:
            print(f"{page.relative_to(ROOT)}: no page links to it")
            count += 1
    # URLs of our own pages in other files (runbooks).
    for name in ("helm/envicutor/alerts/envicutor.yaml",):
        for url in re.findall(URL_OF_DOCS + r"(\S+)", (ROOT / name).read_text()):
            target, _, anchor = url.partition("#")
            if not (ROOT / target).is_file() or (anchor and anchor not in anchors(ROOT / target)):
                print(f"{name}: {URL_OF_DOCS}{url} leads nowhere")
                count += 1
    assert slug("A `b` c!") == "a-b-c"
    print(f"docs: {len(all_pages)} pages, {count} mistakes")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())

"""Reading the project's Markdown: pages, headings, links, code."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pages():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split()
    return [ROOT / n for n in names if (ROOT / n).is_file()]


def split(text):
    """(prose, [code blocks]): fenced and indented blocks apart from the rest."""
    blocks, prose, code, fence, after_blank = [], [], [], None, True
    for line in text.splitlines():
        mark = re.match(r"^\s*(```|~~~)", line)
        if fence is not None:
            if mark:
                blocks.append("\n".join(code))
                code, fence = [], None
            else:
                code.append(line)
            continue
        if mark:
            fence = mark.group(1)
            continue
        if re.match(r"^ {4,}\S", line) and after_blank:
            blocks.append(line.strip())
            continue  # the next indented line is one too
        prose.append(line)
        after_blank = not line.strip()
    return "\n".join(prose), blocks


def slug(heading):
    """GitHub's anchor of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def anchors(path):
    prose, _ = split(path.read_text())
    return {slug(h) for h in re.findall(r"^#+ +(.*?) *#*$", prose, re.M)}


def links(text):
    prose, _ = split(text)
    prose = re.sub(r"`[^`]*`", "", prose)
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose)


def spans(text):
    prose, _ = split(text)
    return re.findall(r"`([^`\n]+)`", prose)


def marked(path):
    """[(mark, shell text, [expected lines])] of the blocks that `<!-- test... -->` marks, in order."""
    found = []
    pattern = r"<!-- (test(?:: \w+)?|output) -->\n```\w*\n(.*?)\n```"
    for mark, body in re.findall(pattern, path.read_text(), re.S):
        if mark == "output":
            found[-1][2].extend(body.splitlines())
        else:
            found.append((mark.partition(": ")[2], body, []))
    return found

#!/usr/bin/env bash
# Builds Envicutor's images with docker, podman or buildah.
#
#   images/build.sh [options] [operator] [executor-agent] [builder] [cache] [cli]      (all when none is named)
#
#   --tool TOOL          docker, podman or buildah; the first one that is installed
#   --base IMAGE         Debian 12, pinned below; a local image where there is no registry
#   --tag TAG            default: the version of CMakeLists.txt
#   --registry PREFIX    put before the names, e.g. registry.example.com/team
#   --prebuilt DIR       take the programs from DIR (a release build on Debian 12) instead of building them
#   --isolate WHERE      source (upstream's git, pinned), debian (upstream's signed package), none, or a binary's path
#   --nix URL --nix-sha256 HASH   a binary tarball of Nix 2.34.7 or newer; else Debian's nix-bin, with a warning
#   --push               push them too
# More arguments for the tool: BUILD_ARGS="...". No part of a build needs a secret.
set -euo pipefail
cd "$(dirname "$0")/.."
base=docker.io/library/debian:bookworm-slim@sha256:7b140f374b289a7c2befc338f42ebe6441b7ea838a042bbd5acbfca6ec875818
tag=$(sed -nE 's/^project\(envicutor VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)
tool='' registry='' prebuilt='' isolate=source nix='' nix_sha256='' push=0
images=()

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
die() { echo "images/build.sh: $*" >&2; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    --tool | --base | --tag | --registry | --prebuilt | --isolate | --nix | --nix-sha256)
      [ $# -ge 2 ] || die "$1 needs a value"
      name=${1#--}
      printf -v "${name//-/_}" %s "$2"
      shift 2 ;;
    --push) push=1; shift ;;
    -h | --help) usage; exit 0 ;;
    operator | executor-agent | builder | cache | cli) images+=("$1"); shift ;;
    *) die "unknown argument $1; see --help" ;;
  esac
done
[ ${#images[@]} -gt 0 ] || images=(operator executor-agent builder cache cli)
if [ -z "$tool" ]; then
  for candidate in docker podman buildah; do
    command -v "$candidate" >/dev/null && tool=$candidate && break
  done
fi
[ -n "$tool" ] || die "none of docker, podman and buildah is installed"
command -v "$tool" >/dev/null || die "$tool is not installed"
[ -z "$nix" ] || [ -n "$nix_sha256" ] || die "--nix needs --nix-sha256: what is not pinned is not taken"
[ -z "$prebuilt" ] || [ -x "$prebuilt/envicutor-operator" ] || die "--prebuilt $prebuilt: there is no envicutor-operator in it"
case $isolate in source | debian | none) ;; *) [ -x "$isolate" ] || die "--isolate $isolate: no such binary" ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

build() {  # build NAME CONTEXT [ARGUMENT...]: images/NAME/Dockerfile
  local name=$1 context=$2
  shift 2
  local image=${registry:+${registry%/}/}envicutor/$name:$tag
  [ "$tool" = docker ] || [ -n "$registry" ] || image=localhost/$image
  echo "== $image"
  # BUILD_ARGS is a list of words.
  # shellcheck disable=SC2086
  "$tool" build ${BUILD_ARGS-} -t "$image" -f "images/$name/Dockerfile" --build-arg "BASE=$base" "$@" \
    --label "org.opencontainers.image.title=envicutor-$name" --label "org.opencontainers.image.version=$tag" \
    --label "org.opencontainers.image.revision=$revision" --label "org.opencontainers.image.licenses=Apache-2.0" \
    --label "org.opencontainers.image.source=https://envicutor.io" "$context"
  built=$image
}

# Contexts hold what a Dockerfile copies and nothing else: no .git, no build folders, no secrets of this machine.
mkdir "$work/src"
if [ -n "$prebuilt" ]; then
  mkdir "$work/src/prebuilt"
  for program in envicutor envicutor-operator envicutor-executor-agent envicutor-builder envicutor-extract; do
    install -m 0755 "$prebuilt/$program" "$work/src/prebuilt/"
    if command -v strip >/dev/null; then strip --strip-unneeded "$work/src/prebuilt/$program"; fi
  done
else
  git ls-files -z | xargs -0 cp --parents -t "$work/src"
fi
build binaries "$work/src"
binaries=$built
results=()
for name in "${images[@]}"; do
  context=$work/$name
  mkdir "$context"
  cp images/apt-install images/nix-install "$context/"
  arguments=()
  [ "$name" = cache ] || arguments+=(--build-arg "BINARIES=$binaries")
  case $name in
    executor-agent | builder) [ -z "$nix" ] || arguments+=(--build-arg "NIX_URL=$nix" --build-arg "NIX_SHA256=$nix_sha256") ;;&
    executor-agent)
      case $isolate in
        source | debian | none) arguments+=(--build-arg "ISOLATE=$isolate") ;;
        *) cp "$isolate" "$context/isolate"; arguments+=(--build-arg ISOLATE=file) ;;
      esac
      [ ! -e images/executor-agent/isolate.asc ] || cp images/executor-agent/isolate.asc "$context/" ;;
    cache) cp images/cache/nginx.conf "$context/" ;;
  esac
  build "$name" "$context" "${arguments[@]}"
  results+=("$built")
  if [ "$push" = 1 ]; then "$tool" push "$built"; fi
done
printf '%s\n' "${results[@]}"

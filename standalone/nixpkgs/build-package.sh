# Makes one store path of Debian packages. Run by a static busybox in Nix's build sandbox, with these
# variables: debs, deps (store paths), triple, muslTriple, glibc, patchelf (the bootstrap, "" while it is
# made), remove, prepare, install,
# propagated, and one variable for each dep.
set -eu
export PATH=$NIX_BUILD_TOP/tools
$busybox mkdir "$PATH"
$busybox --install -s "$PATH"
umask 022

# The merged /usr: what Debian ships in /usr, /bin, /lib, /lib64 and /sbin in one tree.
# It is unpacked below $out: from another mount, every file would be copied once more.
mkdir -p "$out/.unpacked"
cd "$out/.unpacked"
for deb in $debs; do
  ar p "$deb" data.tar.xz | xz -dc | tar -x -o
done
rm -rf usr/share/doc usr/share/doc-base usr/share/man usr/share/info usr/share/locale usr/share/lintian \
  usr/share/bug usr/share/menu usr/share/applications usr/share/pixmaps
[ ! -d usr ] || mv usr/* "$out/"
for top in bin sbin lib lib64; do
  [ ! -d $top ] || { mkdir -p "$out/$top" && cp -al $top/. "$out/$top/"; }
done
cd "$out"
rm -rf .unpacked
set -f
for pattern in $remove; do
  set +f
  rm -rf $pattern
  set -f
done
set +f
chmod -R u+w .
eval "$prepare"

# Symbolic links: Debian's point at absolute places, or into another package.
find . -type l | while read -r link; do
  target=$(readlink "$link")
  case $target in
    "$out"/*) continue ;;
    /*) path=$target ;;
    *)
      [ ! -e "$link" ] || continue
      path=/$(dirname "${link#./}")/$target
      ;;
  esac
  # "a/../b" is "b".
  while :; do
    shorter=$(echo "$path" | sed -e 's,/\./,/,g' -e 's,/[^/][^/]*/\.\./,/,' -e 's,//*,/,g')
    [ "$shorter" != "$path" ] || break
    path=$shorter
  done
  path=${path#/usr}
  rm -f "$link"
  for base in "$out" $deps; do
    if [ -e "$base$path" ]; then
      ln -s "$base$path" "$link"
      break
    fi
  done
done

# ELF files: the loader and the libraries are store paths.
patch_elf() {
  case $1 in */ld-linux-*) return ;; esac
  needed=$($patchelf --print-needed "$1" 2>/dev/null) || return 0
  rpath=
  for name in $needed libgcc_s.so.1; do
    # libc opens libgcc_s itself when a thread is cancelled.
    [ "$name" != libgcc_s.so.1 ] || case "$1 $needed" in
      */libc.so.6\ *|*libgcc_s.so.1*) ;;
      *) continue ;;
    esac
    case $name in ld-linux-*) continue ;; esac
    for base in "$out" $deps; do
      [ -e "$base/lib/$triple/$name" ] || continue
      case :$rpath: in
        *:$base/lib/$triple:*) ;;
        *) rpath=$rpath${rpath:+:}$base/lib/$triple ;;
      esac
      continue 2
    done
    echo "$1 needs $name, which is in none of: $debs $deps" >&2
    exit 1
  done
  if $patchelf --print-interpreter "$1" >/dev/null 2>&1 && [ "${1##*/}" != libc.so.6 ]; then
    $patchelf --set-interpreter "$glibc/lib/$triple/ld-linux-x86-64.so.2" --set-rpath "$rpath" "$1"
  elif [ -n "$rpath" ]; then
    $patchelf --set-rpath "$rpath" "$1"
  fi
}
if [ -n "$patchelf" ]; then
  find . -type f \( -perm /111 -o -name '*.so' -o -name '*.so.*' \) ! -name '*.py' ! -name '*.h' > "$NIX_BUILD_TOP/files"
  while read -r file; do
    case $(head -c 4 "$file" | tr -d '\0') in
      ?ELF) patch_elf "$file" ;;
      '#!'*)
        interpreter=$(sed -n '1s,^#! *\(/usr\)\?\(/bin/[^ ]*\).*,\2,p' "$file")
        for base in "$out" $deps; do
          if [ -n "$interpreter" ] && [ -e "$base$interpreter" ]; then
            sed -i "1s,^#! *[^ ]*,#!$base$interpreter," "$file"
            break
          fi
        done
        ;;
    esac
  done < "$NIX_BUILD_TOP/files"
fi

eval "$install"
if [ -n "$propagated" ]; then
  mkdir -p nix-support
  echo "$propagated" > nix-support/propagated-build-inputs
fi
find . -depth -type d -empty -exec rmdir {} \;

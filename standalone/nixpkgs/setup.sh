# stdenv's setup of the look-alike: puts the inputs into PATH and the variables that find things, as the one
# of nixpkgs does. Sourced by bash, in builds and when an environment is captured.

PATH=
for input in $initialPath; do PATH=$PATH${PATH:+:}$input/bin; done
export PATH
inputsSeen=" "

addToSearchPath() {  # NAME DIRECTORY
  if [ -d "$2" ]; then
    export "$1=${!1-}${!1:+:}$2"
  fi
}

# An input and what it propagates, once each, in the order in which they are named.
addInput() {
  case $inputsSeen in *" $1 "*) return ;; esac
  inputsSeen+="$1 "
  if [ -d "$1/bin" ]; then inputsPath+=$1/bin:; fi
  addToSearchPath PYTHONPATH "$1/lib/python3/dist-packages"
  addToSearchPath PYTHONPATH "$1/lib/python3.11/site-packages"
  addToSearchPath PKG_CONFIG_PATH "$1/lib/pkgconfig"
  addToSearchPath XDG_DATA_DIRS "$1/share"
  if [ -f "$1/nix-support/propagated-build-inputs" ]; then
    local propagated
    for propagated in $(<"$1/nix-support/propagated-build-inputs"); do addInput "$propagated"; done
  fi
}

inputsPath=
for input in ${nativeBuildInputs-} ${buildInputs-} ${propagatedNativeBuildInputs-} ${propagatedBuildInputs-}; do
  addInput "$input"
done
PATH=$inputsPath$PATH
unset input inputsPath inputsSeen

# The few phases that small packages need.
runHook() { if [ -n "${!1-}" ]; then eval "${!1}"; fi; }
runPhase() {  # NAME DEFAULT
  runHook "pre${1^}"
  if [ -n "${!1-}" ]; then eval "${!1}"; else "$2"; fi
  runHook "post${1^}"
}
defaultUnpack() {
  if [ -z "${src-}" ]; then return 0; fi
  if [ -d "$src" ]; then cp -r "$src" source && chmod -R u+w source; else mkdir source && tar -xf "$src" -C source --strip-components=1; fi
  cd "${sourceRoot:-source}" || return 1
}
defaultConfigure() { if [ -x ./configure ]; then ./configure --prefix="$out" ${configureFlags-}; fi; }
defaultBuild() { if [ -e Makefile ] || [ -e makefile ]; then make ${makeFlags-}; fi; }
defaultInstall() { if [ -e Makefile ] || [ -e makefile ]; then make install PREFIX="$out" prefix="$out" ${makeFlags-}; fi; }
genericBuild() {
  set -e
  if [ -n "${buildCommand-}" ]; then eval "$buildCommand"; return; fi
  runPhase unpackPhase defaultUnpack
  runPhase configurePhase defaultConfigure
  runPhase buildPhase defaultBuild
  runPhase installPhase defaultInstall
}

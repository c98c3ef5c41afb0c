#include "executor-agent/builder/expression.h"

#include "common/base/json.h"

namespace envicutor::agent {
namespace {

// The shell's own derivation again, with our builder: inside Nix's build sandbox it sources the
// shell's stdenv/setup, runs its shellHook and writes down the variables. So a hook never runs
// outside a sandbox, and the output's references are exactly the store paths that the variables
// name.
constexpr std::string_view kDefaultNix = R"NIX(
let
  spec = builtins.fromJSON (builtins.readFile ./spec.json);
  pkgs = import <nixpkgs> { config = { }; overlays = [ ]; };

  package = path:
    builtins.foldl'
      (set: name:
        if builtins.isAttrs set && builtins.hasAttr name set then set.${name}
        else throw "nixpkgs has no package ${path}")
      pkgs
      (builtins.filter builtins.isString (builtins.split "\\." path));

  # As nix-shell does: a function is called with what it asks for and has no default of its own.
  fromFile =
    let
      value = import ./shell.nix;
      wanted = builtins.functionArgs value;
      required = builtins.filter (name: !wanted.${name}) (builtins.attrNames wanted);
    in
    if builtins.isFunction value
    then value (builtins.intersectAttrs (builtins.listToAttrs (map (name: { inherit name; value = null; }) required)) { inherit pkgs; inherit (pkgs) lib stdenv; })
    else value;

  base = if spec.hasShell then fromFile else pkgs.mkShellNoCC { packages = map package spec.packages; };

  attributes =
    if builtins.isAttrs base && (base.type or "") == "derivation" && builtins.isAttrs (base.drvAttrs or null)
    then base.drvAttrs
    else throw "shell.nix must give one derivation, as pkgs.mkShell does; it gives a ${builtins.typeOf base}";

  # What would change how or where it is built, or what may be in it.
  notTaken = [
    "name" "system" "builder" "args" "outputs" "realBuilder"
    "outputHash" "outputHashAlgo" "outputHashMode" "__contentAddressed" "__impure" "__noChroot"
    "impureEnvVars" "requiredSystemFeatures" "outputChecks" "exportReferencesGraph"
    "allowedReferences" "allowedRequisites" "disallowedReferences" "disallowedRequisites"
  ];
  extra = map package spec.extraPackages;
  inputs = attributes.nativeBuildInputs or [ ];
in
derivation (removeAttrs attributes notTaken // {
  name = "environment";
  system = builtins.currentSystem;
  builder = "${pkgs.bash}/bin/bash";
  args = [ ./capture.sh ];
  outputs = [ "out" ];
  nativeBuildInputs = extra ++ (if builtins.isList inputs then inputs else [ inputs ]);
  envicutorBash = pkgs.bash;
  envicutorCoreutils = pkgs.coreutils;
  envicutorSalt = spec.salt;
  preferLocalBuild = true;
  allowSubstitutes = false;
})
)NIX";

// Variables of the build, not of the shell: they are not exported to programs, and so their store
// paths (a whole stdenv) are not in the closure.
constexpr std::string_view kCaptureScript = R"SH(
export HOME=$NIX_BUILD_TOP/home
"$envicutorCoreutils/bin/mkdir" -p "$HOME"
if [ -e .attrs.sh ]; then source .attrs.sh; fi

envicutorCaptured=
envicutorCapture() {
  envicutorStatus=$?
  trap - EXIT
  if [ "$envicutorStatus" != 0 ]; then
    echo "shellHook ended the shell with exit code $envicutorStatus" >&2
    exit "$envicutorStatus"
  fi
  unset -f command type export builtin trap exit mkdir printf env
  set +eufx +o pipefail
  unalias -a
  # Every script is run by bash, and /usr/bin/env has to be some env.
  case $(type -P bash) in /nix/store/*) ;; *) PATH=${PATH:+$PATH:}$envicutorBash/bin ;; esac
  case $(type -P env) in /nix/store/*) ;; *) PATH=${PATH:+$PATH:}$envicutorCoreutils/bin ;; esac
  "$envicutorCoreutils/bin/mkdir" "$envicutorOut"
  printf %s "$(type -P bash)" > "$envicutorOut/shell"
  printf %s "$(type -P env)" > "$envicutorOut/env"
  local envicutorName
  for envicutorName in \
    HOME PWD OLDPWD SHLVL _ TERM SHELL CONFIG_SHELL TMPDIR TEMPDIR TMP TEMP USER LOGNAME \
    NIX_BUILD_TOP NIX_BUILD_CORES NIX_LOG_FD NIX_ENFORCE_PURITY NIX_INDENT_MAKE NIX_ATTRS_JSON_FILE \
    NIX_ATTRS_SH_FILE SOURCE_DATE_EPOCH NIX_SSL_CERT_FILE \
    out outputs name pname version system builder stdenv initialPath defaultNativeBuildInputs \
    defaultBuildInputs buildInputs nativeBuildInputs propagatedBuildInputs propagatedNativeBuildInputs \
    depsBuildBuild depsBuildBuildPropagated depsBuildTarget depsBuildTargetPropagated depsHostHost \
    depsHostHostPropagated depsTargetTarget depsTargetTargetPropagated shellHook buildCommand passAsFile \
    phases prePhases preInstallPhases preConfigurePhases buildPhase installPhase unpackPhase patchPhase \
    configurePhase checkPhase fixupPhase patches configureFlags cmakeFlags mesonFlags makeFlags strictDeps \
    doCheck doInstallCheck dontAddDisableDepTrack preferLocalBuild allowSubstitutes enableParallelBuilding \
    enableParallelChecking enableParallelInstalling src HOST_PATH envicutorBash envicutorCoreutils \
    envicutorSalt envicutorOut envicutorStatus envicutorCaptured
  do
    export -n "$envicutorName"
  done
  case ${SSL_CERT_FILE-} in /no-cert-file.crt) export -n SSL_CERT_FILE ;; esac
  "$envicutorCoreutils/bin/env" -0 > "$envicutorOut/variables"
}

envicutorOut=$out
export IN_NIX_SHELL=pure
unset PATH
PATH=
if [ -n "${stdenv-}" ] && [ -e "$stdenv/setup" ]; then source "$stdenv/setup"; fi
export PATH
set +eu +o pipefail
trap envicutorCapture EXIT
cd "$NIX_BUILD_TOP"
eval "${shellHook-}" < /dev/null
exit 0
)SH";

}  // namespace

std::map<std::string, std::string> ExpressionFiles(const api::EnvironmentSpec& spec) {
  std::map<std::string, std::string> files;
  files["default.nix"] = kDefaultNix;
  files["capture.sh"] = kCaptureScript;
  files["spec.json"] = DumpJson({{"hasShell", !spec.shell.empty()},
                                 {"packages", spec.packages},
                                 {"extraPackages", spec.extra_packages},
                                 {"salt", spec.salt}});
  if (!spec.shell.empty()) files["shell.nix"] = spec.shell;
  return files;
}

}  // namespace envicutor::agent

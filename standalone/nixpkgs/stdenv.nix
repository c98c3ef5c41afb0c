# mkDerivation, mkShell and the trivial builders, on top of the packages.
{ lib, bash, system, initialPath }:

let
  setupDir = derivation {
    name = "stdenv";
    inherit system;
    builder = "${bash}/bin/bash";
    args = [ "-c" "export PATH=$coreutils/bin; mkdir $out && { echo \"initialPath='$initialPath'\"; cat $setup; } > $out/setup" ];
    coreutils = builtins.elemAt initialPath 1;
    initialPath = map toString initialPath;
    setup = ./setup.sh;
  };

  # Arguments that describe a package, or that Nix would not take as a variable.
  notVariables = [ "meta" "passthru" "env" "packages" "inputsFrom" ];

  mkDerivation = args:
    let
      given = if lib.isFunction args then args drv else args;
      name = given.name or "${given.pname}-${given.version}";
      variables = removeAttrs given notVariables // (given.env or { });
      drv = derivation ({
        inherit system;
        builder = "${bash}/bin/bash";
        args = [ "-c" "source $stdenv/setup && genericBuild" ];
        stdenv = setupDir;
        buildInputs = [ ];
        nativeBuildInputs = [ ];
      } // variables // { inherit name; });
    in
    drv // (given.passthru or { }) // {
      meta = given.meta or { };
      overrideAttrs = change: mkDerivation (given // (if lib.isFunction change then change given else change));
    };

  # A shell whose build makes nothing, as in nixpkgs; what counts is what a shell in it would see.
  mkShell = { name ? "shell", packages ? [ ], inputsFrom ? [ ], buildInputs ? [ ], nativeBuildInputs ? [ ], shellHook ? "", ... }@args:
    let
      merged = attribute: lib.concatMap (drv: drv.${attribute} or [ ]) inputsFrom;
      hooks = lib.concatStringsSep "\n" (map (drv: drv.shellHook or "") (lib.filter (drv: drv ? shellHook) inputsFrom) ++ [ shellHook ]);
    in
    mkDerivation (args // {
      inherit name;
      nativeBuildInputs = packages ++ nativeBuildInputs ++ merged "nativeBuildInputs";
      buildInputs = buildInputs ++ merged "buildInputs";
      shellHook = hooks;
      buildCommand = "export > $out";
    });

  runCommand = name: variables: command: mkDerivation (variables // { inherit name; buildCommand = command; });

  writeTextFile = { name, text, executable ? false, destination ? "" }:
    runCommand name { inherit text destination; passAsFile = [ "text" ]; } ''
      target=$out$destination
      mkdir -p "$(dirname "$target")"
      cp "$textPath" "$target"
      ${lib.optionalString executable "chmod 755 \"$target\""}
    '';
in
{
  inherit mkShell runCommand writeTextFile;
  stdenv = setupDir // {
    inherit mkDerivation system initialPath;
    shell = "${bash}/bin/bash";
    isLinux = true;
    isDarwin = false;
    isx86_64 = true;
    isAarch64 = false;
    hostPlatform = { inherit system; isLinux = true; isDarwin = false; isx86_64 = true; };
  };
  runCommandNoCC = runCommand;
  runCommandLocal = runCommand;
  writeText = name: text: writeTextFile { inherit name text; };
  writeScript = name: text: writeTextFile { inherit name text; executable = true; };
  writeScriptBin = name: text: writeTextFile { inherit name text; executable = true; destination = "/bin/${name}"; };
  writeShellScript = name: text: writeTextFile { inherit name; text = "#!${bash}/bin/bash\n${text}"; executable = true; };
  writeShellScriptBin = name: text:
    writeTextFile { inherit name; text = "#!${bash}/bin/bash\n${text}"; executable = true; destination = "/bin/${name}"; };
}

# A small look-alike of nixpkgs, made offline from Debian's own packages: enough for the shell.nix files of
# ordinary runtimes. See README.md. Complete only where ./fetch has put lock.nix, debs/ and tools/.
{ system ? "x86_64-linux", config ? { }, overlays ? [ ], ... }:

let
  lib = import ./lib.nix;
  lock = import ./lock.nix;
  table = import ./packages.nix;
  triple = "x86_64-linux-gnu";
  muslTriple = "x86_64-linux-musl";

  # A folder, as busybox goes by the name it is started with.
  busyboxStatic = "${builtins.path { name = "busybox-static"; path = ./tools; }}/busybox";

  debFile = name:
    builtins.path {
      name = "${builtins.replaceStrings [ "+" ] [ "-" ] name}.deb";
      path = ./debs + "/${lock.${name}.file}";
      recursive = false;
      inherit (lock.${name}) sha256;
    };

  mkPackage = { name, debs, deps ? [ ], remove ? [ ], prepare ? "", install ? "", propagated ? [ ], patchelf ? bootstrap.command }:
    let
      dependencies = lib.genAttrs deps (dep: packages.${dep});
      version = lock.${lib.head debs}.version;
      drv = derivation ({
        name = "${name}-${lib.concatStrings (lib.filter lib.isString (builtins.split "[^A-Za-z0-9.+_-]" version))}";
        inherit system triple muslTriple prepare install patchelf;
        builder = busyboxStatic;
        args = [ "sh" ./build-package.sh ];
        busybox = busyboxStatic;
        debs = map debFile debs;
        deps = map (dep: packages.${dep}) deps;
        remove = lib.concatStringsSep " " remove;
        propagated = map (dep: packages.${dep}) propagated;
        # glibc is its own; the bootstrap must not need what it makes.
        glibc =
          if name == "bootstrap" then "" else if name == "glibc" then placeholder "out" else packages.glibc;
      } // (removeAttrs dependencies [ "glibc" ]));
    in
    drv // { pname = name; inherit version; meta = { mainProgram = name; }; };

  # patchelf as Debian ships it, started through the loader beside it: what patches everything else.
  bootstrap = rec {
    files = mkPackage {
      name = "bootstrap";
      debs = [ "patchelf" "libc6" "libgcc-s1" "libstdc++6" ];
      patchelf = "";
    };
    command = "${files}/lib/${triple}/ld-linux-x86-64.so.2 --library-path ${files}/lib/${triple} ${files}/bin/patchelf";
  };

  packages = lib.mapAttrs (name: package: mkPackage (package // { inherit name; })) table;

  build = import ./stdenv.nix {
    inherit lib system;
    inherit (packages) bash;
    initialPath = [ packages.bash packages.coreutils ];
  };

  python3Packages = rec {
    inherit (packages) numpy;
    python = python3;
  };

  # A python with packages in reach: they are what it propagates.
  withPackages = choose:
    build.runCommand "python3-with-packages" { propagated = [ packages.python3 ] ++ choose python3Packages; } ''
      mkdir -p $out/nix-support
      echo "$propagated" > $out/nix-support/propagated-build-inputs
    '';
  python3 = packages.python3 // { inherit withPackages; pkgs = python3Packages; };

  self = packages // build // {
    inherit lib system python3 python3Packages;
    pkgs = self;
    python = python3;
    python311 = python3;
    python311Packages = python3Packages;
    bashInteractive = packages.bash;
    bashNonInteractive = packages.bash;
    gcc12 = packages.gcc;
    gcc-unwrapped = packages.gcc;
    binutils = packages.gcc;
    gnumake42 = packages.gnumake;
    coreutils-full = packages.coreutils;
    runtimeShell = "${packages.bash}/bin/bash";
    # Here mkShell has no C compiler either: one that is named is there, none is built for a Python program.
    mkShellNoCC = build.mkShell;
    callPackage = path: arguments:
      let function = if lib.isFunction path then path else import path;
      in function (builtins.intersectAttrs (builtins.functionArgs function) self // arguments);
  };
in
lib.foldl' (set: overlay: set // overlay set set) self overlays

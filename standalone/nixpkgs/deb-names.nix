# The .debs that ./fetch downloads.
builtins.concatLists (map (package: package.debs) (builtins.attrValues (import ./packages.nix))) ++ [ "patchelf" ]

# The part of nixpkgs' lib that shell.nix files use.
rec {
  inherit (builtins)
    attrNames attrValues concatLists concatMap concatStringsSep elem elemAt filter foldl' genList getAttr
    hasAttr head isAttrs isFunction isList isString length listToAttrs map mapAttrs removeAttrs replaceStrings
    stringLength substring tail;

  id = x: x;
  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  optionalString = condition: text: if condition then text else "";
  optionalAttrs = condition: set: if condition then set else { };
  concatStrings = concatStringsSep "";
  concatMapStrings = f: list: concatStrings (map f list);
  concatMapStringsSep = separator: f: list: concatStringsSep separator (map f list);
  splitString = separator: text:
    filter isString (builtins.split (escapeRegex separator) text);
  escapeRegex = replaceStrings
    [ "\\" "[" "{" "(" ")" "^" "$" "?" "*" "+" "|" "." ]
    [ "\\\\" "\\[" "\\{" "\\(" "\\)" "\\^" "\\$" "\\?" "\\*" "\\+" "\\|" "\\." ];
  escapeShellArg = argument: "'${replaceStrings [ "'" ] [ "'\\''" ] (toString argument)}'";
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasSuffix = suffix: text:
    let start = stringLength text - stringLength suffix;
    in start >= 0 && substring start (-1) text == suffix;
  removePrefix = prefix: text:
    if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
  toList = value: if isList value then value else [ value ];
  flatten = value: if isList value then concatMap flatten value else [ value ];
  unique = foldl' (seen: value: if elem value seen then seen else seen ++ [ value ]) [ ];
  range = first: last: genList (i: first + i) (if last < first then 0 else last - first + 1);
  nameValuePair = name: value: { inherit name value; };
  genAttrs = names: f: listToAttrs (map (name: nameValuePair name (f name)) names);
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  filterAttrs = keep: set:
    listToAttrs (concatMap (name: optional (keep name set.${name}) (nameValuePair name set.${name})) (attrNames set));
  attrByPath = path: default: set:
    if path == [ ] then set
    else if isAttrs set && hasAttr (head path) set then attrByPath (tail path) default set.${head path}
    else default;
  getAttrFromPath = path: set:
    attrByPath path (throw "cannot find attribute `${concatStringsSep "." path}'") set;
  isDerivation = value: isAttrs value && (value.type or "") == "derivation";
  getBin = package: package.bin or package;
  getLib = package: package.lib or package;
  getDev = package: package.dev or package;
  getExe = package: "${getBin package}/bin/${package.meta.mainProgram or package.pname or package.name}";
  makeSearchPath = folder: packages: concatMapStringsSep ":" (package: "${package}/${folder}") packages;
  makeBinPath = makeSearchPath "bin";
  makeLibraryPath = makeSearchPath "lib";
}

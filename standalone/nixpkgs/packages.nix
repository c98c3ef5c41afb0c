# Which Debian packages make which package of this set. Several .debs are merged into one store path where
# upstream is one program (gcc finds cc1 relative to itself, python its library); shared libraries that many
# programs use are store paths of their own.
#
#   debs      Debian package names; ./fetch downloads exactly these
#   deps      names in this table whose libraries and programs it uses; the builder fails when a library that
#             an ELF file needs is in none of them
#   remove    shell patterns below the merged /usr that nobody misses in a sandbox
#   prepare   shell commands run before the ELF files are changed
#   install   shell commands run at the end, in the package's folder; $out, $triple and busybox's tools are
#             there, ${name} of every dep is its store path
{
  glibc = {
    debs = [ "libc6" "libgcc-s1" "libstdc++6" "libcrypt1" "zlib1g" ];
    remove = [ "lib/*/gconv" "lib/*/audit" "lib/*/libc_malloc_debug.so*" "share/gcc" "share/gdb" ];
  };

  baselibs = {
    debs = [
      "libacl1" "libattr1" "libgmp10" "libmpfr6" "libpcre2-8-0" "libreadline8" "libselinux1" "libsigsegv2"
      "libtinfo6"
    ];
    deps = [ "glibc" ];
  };

  # Every script starts it: without shared libraries that takes a sixth less of a sandbox's CPU time. What a
  # static one lacks is `enable -f`.
  bash = {
    debs = [ "bash-static" ];
    install = "mv bin/bash-static bin/bash; ln -sf bash bin/sh";
  };

  coreutils = { debs = [ "coreutils" ]; deps = [ "glibc" "baselibs" ]; remove = [ "libexec" "sbin" ]; };
  gnugrep = { debs = [ "grep" ]; deps = [ "glibc" "baselibs" ]; };
  gnused = { debs = [ "sed" ]; deps = [ "glibc" "baselibs" ]; };
  findutils = { debs = [ "findutils" ]; deps = [ "glibc" "baselibs" ]; };
  diffutils = { debs = [ "diffutils" ]; deps = [ "glibc" ]; };
  gnumake = { debs = [ "make" ]; deps = [ "glibc" ]; };
  gnutar = { debs = [ "tar" ]; deps = [ "glibc" "baselibs" ]; };
  gzip = { debs = [ "gzip" ]; deps = [ "glibc" ]; };

  gawk = {
    debs = [ "gawk" ];
    deps = [ "glibc" "baselibs" ];
    install = "ln -sf gawk bin/awk";
  };

  busybox = {
    debs = [ "busybox-static" ];
    # Its applets as links, as in nixpkgs.
    install = ''
      for applet in $(bin/busybox --list); do
        [ -e bin/$applet ] || ln -s busybox bin/$applet
      done
    '';
  };

  python3 = {
    debs = [
      "python3.11" "python3.11-minimal" "libpython3.11-minimal" "libpython3.11-stdlib"
      "libbz2-1.0" "libexpat1" "libffi8" "liblzma5" "libncursesw6" "libsqlite3-0" "libssl3" "libuuid1"
    ];
    deps = [ "glibc" "baselibs" ];
    # _dbm and nis would need libraries of their own.
    remove = [
      "lib/python3.11/idlelib" "lib/python3.11/lib-dynload/_dbm.*" "lib/python3.11/lib-dynload/nis.*"
      "lib/python3.11/lib-dynload/_curses_panel.*"
      "lib/python3.11/lib-dynload/_test*" "lib/python3.11/lib-dynload/xx*" "lib/python3.11/pydoc_data"
      "lib/python3.11/__phello__" "lib/valgrind" "lib/*/libpanelw.so*" "lib/*/libformw.so*"
      "lib/*/libmenuw.so*" "bin/pydoc*" "bin/pygettext*" "lib/*/ossl-modules" "lib/*/engines-3"
    ];
    # The byte code is made here, once: a run cannot write it. Unchecked hashes, as the store has no times.
    install = ''
      ln -sf python3.11 bin/python3
      ln -sf python3.11 bin/python
      bin/python3.11 -B -m compileall -q -f --invalidation-mode unchecked-hash lib/python3.11 || true
    '';
  };

  numpy = {
    debs = [ "python3-numpy" "libblas3" "liblapack3" "libgfortran5" "libquadmath0" ];
    deps = [ "glibc" "python3" ];
    remove = [
      "bin" "include" "lib/python3/dist-packages/numpy/f2py" "lib/python3/dist-packages/numpy/*/tests"
      "lib/python3/dist-packages/numpy/core/include" "lib/python3/dist-packages/numpy/core/lib"
    ];
    propagated = [ "python3" ];
    prepare = "mv lib/$triple/blas/* lib/$triple/lapack/* lib/$triple/";
    install = ''
      $python3/bin/python3.11 -B -m compileall -q -f --invalidation-mode unchecked-hash lib/python3 || true
    '';
  };

  gcc = {
    debs = [
      "gcc-12" "cpp-12" "g++-12" "libisl23" "libmpc3"
      "binutils" "binutils-x86-64-linux-gnu" "libbinutils" "libctf0" "libctf-nobfd0" "libjansson4" "libzstd1"
      "libgcc-12-dev" "libstdc++-12-dev" "libc6-dev" "libcrypt-dev" "linux-libc-dev"
      "libasan8" "libatomic1" "libgomp1" "libitm1" "liblsan0" "libquadmath0" "libtsan2" "libubsan1"
    ];
    deps = [ "glibc" "baselibs" ];
    remove = [
      "bin/*lto-dump*" "bin/*gcov-tool*" "bin/*gcov-dump*" "bin/*gp-*" "bin/*gprofng*" "bin/*dwp"
      "lib/gcc/*/12/plugin" "lib/*/ldscripts" "lib/bfd-plugins" "lib/*/gprofng" "lib/compat-ld"
      "lib/gold-ld" "share/gcc" "share/gdb" "lib/*/libmcheck.a" "bin/*ld.gold" "bin/gold"
      "lib/gcc/*/12/lib*san.a"
    ];
    install = ''
      for tool in gcc g++ cpp gcc-ar gcc-nm gcc-ranlib gcov; do ln -sf $triple-$tool-12 bin/$tool; done
      ln -sf gcc bin/cc
      ln -sf g++ bin/c++
      # The driver looks for the assembler and linker here before PATH.
      mkdir -p $triple/bin
      for tool in as ld ld.bfd nm objcopy ranlib strip ar; do ln -sf ../../bin/$triple-$tool $triple/bin/$tool; done
      # Linker scripts name the libraries by Debian's absolute paths.
      for script in lib/$triple/libc.so lib/$triple/libm.so lib/$triple/libm.a; do
        sed -i -e "s,/lib64/ld-linux,$glibc/lib/$triple/ld-linux,g" \
          -e "s,\(/usr\)\?/lib/$triple/\([a-z_]*nonshared\.a\|lib[a-z0-9.-]*\.a\),$out/lib/$triple/\2,g" \
          -e "s, \(/usr\)\?/lib/$triple/, $glibc/lib/$triple/,g" $script
      done
      # What is compiled finds its loader and libraries in the store, like a program of nixpkgs. Headers come
      # after gcc's own, because libstdc++ uses include_next.
      specs=lib/gcc/$triple/12/specs
      headers="-idirafter $out/include/$triple -idirafter $out/include"
      loader="%{!shared:%{!static:%{!static-pie:-dynamic-linker $glibc/lib/$triple/ld-linux-x86-64.so.2}}}"
      ownlibs="%{fsanitize=*|fopenmp*|fgnu-tm|latomic|lquadmath:-rpath $out/lib/$triple}"
      rpath="%{!static:%{!static-pie:-rpath $glibc/lib/$triple $ownlibs}}"
      bin/gcc -dumpspecs > "$NIX_BUILD_TOP/specs"
      awk -v headers="$headers" -v link="$loader $rpath -L$out/lib/$triple -L$glibc/lib/$triple" '
        previous == "*cpp_unique_options:" { $0 = $0 " " headers }
        previous == "*link:" { $0 = $0 " " link }
        { previous = $0; print }' "$NIX_BUILD_TOP/specs" > $specs
    '';
  };

  musl = {
    debs = [ "musl" "musl-dev" ];
    remove = [ "bin/*musl-gcc" "lib/*/*.specs" ];
    install = ''
      rm -rf lib/ld-musl-*
      mv lib/$muslTriple/* lib/
      rmdir lib/$muslTriple
      mv include/$muslTriple/* include/
      rmdir include/$muslTriple
      ln -sf libc.so lib/ld-musl-x86_64.so.1
    '';
  };

  # A C compiler that is small and fast, linked against musl.
  tcc = {
    debs = [ "tcc" ];
    deps = [ "glibc" "musl" "bash" ];
    remove = [ "bin/i386-tcc" "lib/*/tcc/i386*" "lib/*/tcc/bcheck.o" "lib/*/tcc/bt-*.o" ];
    install = ''
      mkdir libexec
      mv bin/tcc libexec/tcc
      {
        echo "#!$bash/bin/bash"
        echo "# tcc with musl: its built-in paths are Debian's."
        echo "link=1"
        echo 'for argument in "$@"; do'
        echo '  case $argument in -c|-E|-v|-vv|-h|-hh|-ar|-run|-print-search-dirs|-M*) link=0 ;; esac'
        echo 'done'
        echo "base=(-B$out/lib/$triple/tcc -nostdinc -I$musl/include -I$out/lib/$triple/tcc/include -L$musl/lib)"
        echo 'if [ $link = 0 ] || [ $# = 0 ]; then'
        echo "  exec $out/libexec/tcc \"\''${base[@]}\" \"\$@\""
        echo 'fi'
        echo "exec $out/libexec/tcc \"\''${base[@]}\" -nostdlib -static $musl/lib/crt1.o $musl/lib/crti.o \"\$@\" -lc $out/lib/$triple/tcc/libtcc1.a -lc $musl/lib/crtn.o"
      } > bin/tcc
      chmod 755 bin/tcc
    '';
  };
}

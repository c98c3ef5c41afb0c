# Makes crds_embedded.cpp of crds/*.yaml: `envicutor up` applies them, wherever the binary lies.
file(GLOB crd_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/crds/*.yaml)
set(crd_literals "")
foreach(crd_file ${crd_files})
  file(READ ${crd_file} crd_text)
  string(APPEND crd_literals "    R\"embedded_yaml(${crd_text})embedded_yaml\",\n")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${crd_file})
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/crds_embedded.cpp @ONLY CONTENT [[
#include "standalone/cli/crds.h"

namespace envicutor::standalone {

const std::vector<std::string_view>& EmbeddedCrds() {
  static const std::vector<std::string_view> crds = {
@crd_literals@  };
  return crds;
}

}  // namespace envicutor::standalone
]])
target_sources(envicutor_cli PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/crds_embedded.cpp)

# The offline <nixpkgs>, where `envicutor up` looks for it: beside bin.
file(GLOB nixpkgs_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/standalone/nixpkgs/*)
set(nixpkgs_share ${CMAKE_BINARY_DIR}/share/envicutor/nixpkgs)
add_custom_command(OUTPUT ${nixpkgs_share}/.copied
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${nixpkgs_share}
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/standalone/nixpkgs ${nixpkgs_share}
  COMMAND ${CMAKE_COMMAND} -E touch ${nixpkgs_share}/.copied
  DEPENDS ${nixpkgs_files} VERBATIM)
add_custom_target(envicutor_nixpkgs ALL DEPENDS ${nixpkgs_share}/.copied)

# What every target of the project is compiled with, and the two functions that make targets.

add_library(envicutor_flags INTERFACE)
target_compile_options(envicutor_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
  -fstack-protector-strong -fno-omit-frame-pointer)
target_compile_definitions(envicutor_flags INTERFACE
  ENVICUTOR_VERSION="${PROJECT_VERSION}" $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
target_include_directories(envicutor_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_link_options(envicutor_flags INTERFACE -Wl,-z,relro,-z,now)
if(ENVICUTOR_SANITIZE)
  # Fortify and the sanitizers' interceptors do not go together.
  target_compile_options(envicutor_flags INTERFACE -fsanitize=${ENVICUTOR_SANITIZE}
    -fno-sanitize-recover=all -U_FORTIFY_SOURCE)
  target_link_options(envicutor_flags INTERFACE -fsanitize=${ENVICUTOR_SANITIZE})
  if(ENVICUTOR_SANITIZE MATCHES thread)
    # Boost.Asio's fences, which the thread sanitizer does not model, are an error otherwise.
    target_compile_options(envicutor_flags INTERFACE -Wno-tsan)
  endif()
endif()

find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

# envicutor_library(NAME [LINK lib...]): a static library of all .cpp files below the calling
# folder's sources (GLOB, so that adding a file edits no list). EXCLUDE: regex of paths to leave out.
function(envicutor_library name)
  cmake_parse_arguments(ARG "" "DIR;EXCLUDE" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_DIR}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "main\\.cpp$")
  if(ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${ARG_EXCLUDE}")
  endif()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC envicutor_flags ${ARG_LINK})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE envicutor_flags ${ARG_LINK})
  endif()
endfunction()

# envicutor_test(NAME DIR dir [LINK lib...] [LABELS label...]): one GoogleTest program of all
# *_test.cpp (and helpers) in dir, registered with ctest as one test.
function(envicutor_test name)
  cmake_parse_arguments(ARG "" "DIR;TIMEOUT" "LINK;LABELS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_DIR}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()

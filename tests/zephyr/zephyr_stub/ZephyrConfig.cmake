# What the generated CMake files ask of Zephyr: modules are added, and each library, source, linker
# script and folder must exist. CONFIG_VALUES names a file that sets CONFIG_*.
include(${CONFIG_VALUES})
set(APPLICATION_SOURCE_DIR ${CMAKE_CURRENT_SOURCE_DIR})
set(GCC_M_CPU cortex-m55)
enable_language(C)

file(WRITE ${CMAKE_BINARY_DIR}/empty.c "")
add_library(app STATIC ${CMAKE_BINARY_DIR}/empty.c)
add_library(native_simulator INTERFACE)

function(require_file path)
  get_filename_component(whole ${path} ABSOLUTE)
  if(NOT EXISTS ${whole})
    message(FATAL_ERROR "there is no ${path}")
  endif()
endfunction()

macro(zephyr_library_named name)
  add_library(${name} STATIC)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
endmacro()

function(zephyr_include_directories)
  foreach(path ${ARGV})
    require_file(${path})
  endforeach()
  include_directories(${ARGV})
endfunction()

function(zephyr_library_include_directories)
  target_include_directories(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGV})
endfunction()

function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGV})
  foreach(path ${ARGV})
    get_filename_component(name ${path} NAME)
    message(STATUS "source ${name}")
  endforeach()
endfunction()

function(zephyr_library_sources_ifdef condition)
  if(${${condition}})
    zephyr_library_sources(${ARGN})
  endif()
endfunction()

function(zephyr_library_compile_options)
  target_compile_options(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGV})
  message(STATUS "options ${ARGV}")
endfunction()

function(zephyr_library_compile_definitions)
  target_compile_definitions(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGV})
  message(STATUS "definitions ${ARGV}")
endfunction()

function(zephyr_linker_sources where path)
  require_file(${path})
  message(STATUS "linker ${where} ${path}")
endfunction()

foreach(module ${EXTRA_ZEPHYR_MODULES})
  file(STRINGS ${module}/zephyr/module.yml lines REGEX "cmake:")
  string(REGEX REPLACE " *cmake: *" "" folder "${lines}")
  add_subdirectory(${module}/${folder} ${CMAKE_BINARY_DIR}/module)
endforeach()

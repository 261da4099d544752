# `cmake --install`: headers, both libraries, the CMake package and the pkg-config file. All of it may be moved.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/keyrack)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/keyrack DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.hpp")
install(TARGETS keyrack_static keyrack_shared EXPORT keyrack
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT keyrack NAMESPACE keyrack:: FILE keyrack-targets.cmake DESTINATION ${package_dir})

if(KEYRACK_ETCD)
  install(TARGETS keyrack_etcd_static keyrack_etcd_shared EXPORT keyrack-etcd
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT keyrack-etcd NAMESPACE keyrack:: FILE keyrack-etcd-targets.cmake DESTINATION ${package_dir})
endif()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/keyrack-config.cmake.in
  ${PROJECT_BINARY_DIR}/keyrack-config.cmake INSTALL_DESTINATION ${package_dir}
  NO_SET_AND_CHECK_MACRO)
# Before 1.0 each minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/keyrack-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/keyrack-config.cmake ${PROJECT_BINARY_DIR}/keyrack-config-version.cmake
  DESTINATION ${package_dir})

# Relative to the file itself, so that it holds for whatever prefix `cmake --install` is given.
file(RELATIVE_PATH KEYRACK_PC_PREFIX /${pkgconfig_dir} /)
string(REGEX REPLACE "/$" "" KEYRACK_PC_PREFIX ${KEYRACK_PC_PREFIX})
foreach(pc keyrack keyrack-etcd)
  if(pc STREQUAL keyrack OR KEYRACK_ETCD)
    configure_file(${CMAKE_CURRENT_LIST_DIR}/${pc}.pc.in ${PROJECT_BINARY_DIR}/${pc}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${pc}.pc DESTINATION ${pkgconfig_dir})
  endif()
endforeach()

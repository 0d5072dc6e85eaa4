# One file per instruction set, each with flags of its own; everything else is compiled
# for the baseline of the architecture. Which of them runs is decided from CPUID.

set(annx_isa_dir "${PROJECT_SOURCE_DIR}/cpp/kernels")

# -fno-exceptions, -fno-rtti: no run-time support code in a file that only some CPUs can run.
# -ffp-contract=off: fused multiply-adds are written out, so that two forms of one kernel
# round alike however the compiler inlines them.
set(annx_isa_common -fno-exceptions -fno-rtti -fno-lto -ffp-contract=off)

set(annx_flags_avx2 -mavx2 -mfma -mf16c)
set(annx_flags_pclmul -mavx2 -mpclmul)
set(annx_flags_avx512 ${annx_flags_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
set(annx_flags_avx512_vnni ${annx_flags_avx512} -mavx512vnni)
set(annx_flags_avx512_bf16 ${annx_flags_avx512} -mavx512bf16)
set(annx_flags_avx512_popcnt ${annx_flags_avx512} -mavx512vpopcntdq)

check_cxx_source_compiles("
  #if !defined(__x86_64__) && !defined(_M_X64)
  #error not x86-64
  #endif
  int main() { return 0; }" ANNX_TARGET_IS_X86_64)

# Adds isa_scalar.cpp and those isa_<name>.cpp that this compiler can compile for this
# target, and defines ANNX_HAVE_<NAME> for each of the latter.
function(annx_add_isa_files target)
  file(GLOB files CONFIGURE_DEPENDS "${annx_isa_dir}/isa_*.cpp")
  foreach(file IN LISTS files)
    get_filename_component(name "${file}" NAME_WE)
    string(REGEX REPLACE "^isa_" "" name "${name}")
    if(name STREQUAL "scalar")
      set(flags "")
    elseif(NOT DEFINED annx_flags_${name})
      message(FATAL_ERROR "${file}: cmake/isa.cmake has no flags for ${name}")
    elseif(NOT ANNX_TARGET_IS_X86_64)
      continue()
    elseif(MSVC AND name MATCHES "^(avx2|pclmul)$")
      set(flags /arch:AVX2)
    elseif(MSVC)
      set(flags /arch:AVX512)
    else()
      set(flags ${annx_flags_${name}})
      list(JOIN flags " " flags_text)
      check_cxx_compiler_flag("${flags_text}" ANNX_COMPILES_${name})
      if(NOT ANNX_COMPILES_${name})
        continue()
      endif()
    endif()
    if(NOT MSVC)
      list(APPEND flags ${annx_isa_common})
    endif()
    target_sources(${target} PRIVATE "${file}")
    set_source_files_properties("${file}" PROPERTIES COMPILE_OPTIONS "${flags}")
    if(NOT name STREQUAL "scalar")
      string(TOUPPER "${name}" upper)
      target_compile_definitions(${target} PUBLIC ANNX_HAVE_${upper}=1)
    endif()
  endforeach()
endfunction()

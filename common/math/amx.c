/*
 * May this process use AMX? Tile registers are large, so Linux saves them for processes alone that
 * have asked for it; a tile instruction before that is a SIGILL.
 */
#include "common/math/amx.h"

#include "common/math/kernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

/* source: arch/x86/include/uapi/asm/prctl.h; Documentation/arch/x86/xstate.rst */
enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILE_DATA = 18 };

static pthread_once_t asked = PTHREAD_ONCE_INIT;
static bool ready;

static bool processor_has_amx(void)
{
    const unsigned bf16 = 1u << 22, tile = 1u << 24, int8 = 1u << 25, all = bf16 | tile | int8;
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & all) == all;
}

/* The kernel keeps tile configuration and tile data of a thread. */
static bool system_keeps_tiles(void)
{
    const unsigned osxsave = 1u << 27, tiles = 3u << 17;
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & osxsave))
        return false;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & tiles) == tiles;
}

static void ask(void)
{
    ready = lcf_simd_best() == LCF_SIMD_AVX512 && __builtin_cpu_supports("avx512vnni") &&
            __builtin_cpu_supports("avx512bf16") && processor_has_amx() && system_keeps_tiles() &&
            syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA) == 0;
}

bool lcf_amx_ready(void)
{
    pthread_once(&asked, ask);
    return ready;
}
#else
bool lcf_amx_ready(void)
{
    return false;
}
#endif

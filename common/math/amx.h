/*
 * Intel AMX: eight tile registers of up to 16 rows of 64 bytes, and products of tiles that are
 * added to a third.
 *
 * A kernel is written once, in the TILE_ macros below, and compiled twice: into the instructions,
 * and, where LCF_AMX_EMULATED is defined, into calls of the plain C in amx_emulated.c, which gives
 * the same bits and runs everywhere. The emulation is the kernels' reference twin; it also refuses
 * (by an assertion) what the processor would refuse by a fault.
 *
 * A thread loads a configuration before its first tile instruction and releases the tiles after its
 * last: what it leaves configured would be saved and restored at each change of threads. A
 * configuration is static const: gcc 12 believes that ldtilecfg reads 8 of its 64 bytes and may
 * drop the stores of the others (the macros say what they read; data on the way stays an ambush).
 *
 * source: Intel 64 and IA-32 Software Developer's Manual, volume 1 chapter 18, and volume 2
 */
#ifndef LCF_COMMON_MATH_AMX_H
#define LCF_COMMON_MATH_AMX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_TILE_ROWS 16
#define LCF_TILE_ROW_BYTES 64
#define LCF_TILES_N 8

/* The memory operand of ldtilecfg. */
typedef struct lcf_tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16]; /* of tiles 0 to 7, the rest 0 */
    uint8_t rows[16];
} lcf_tile_config;

_Static_assert(sizeof(lcf_tile_config) == 64, "as the processor reads it");

/*
 * True where the processor has tiles with products of bytes and of bf16 and AVX-512 beside them,
 * and the kernel lets this process use them. The first call asks it to.
 *
 * threads  safe
 */
bool lcf_amx_ready(void);

/* What the macros become where they are emulated: see there. */
void lcf_tile_configure(const lcf_tile_config *config);
void lcf_tile_release(void);
void lcf_tile_zero(size_t tile);
void lcf_tile_load(size_t tile, const void *from, size_t stride);
void lcf_tile_store(size_t tile, void *to, size_t stride);
void lcf_tile_dot_bytes(size_t c, size_t a, size_t b);
void lcf_tile_dot_bf16(size_t c, size_t a, size_t b);

/*
 * TILE_CONFIGURE(config), TILE_RELEASE()   before and after all others
 * TILE_ZERO(t)                        t = 0
 * TILE_LOAD(t, from, stride)          the rows of t from memory, stride bytes apart
 * TILE_STORE(t, to, stride)           to memory
 * TILE_DOT_BYTES(c, a, b)             c [m, n] i32 += a [m, 4 k] i8 times b [k, n, 4] u8
 * TILE_DOT_BF16(c, a, b)              c [m, n] f32 += a [m, 2 k] bf16 times b [k, n, 2] bf16:
 *                                     even and odd products in a chain each, both from 0, whose sum
 *                                     is added to c; denormals are 0
 *
 * t, c, a, b are literals: which register is a part of the instruction.
 */
#if defined(LCF_AMX_EMULATED)
#define TILE_CONFIGURE(config) lcf_tile_configure(config)
#define TILE_RELEASE() lcf_tile_release()
#define TILE_ZERO(t) lcf_tile_zero(t)
#define TILE_LOAD(t, from, stride) lcf_tile_load(t, from, stride)
#define TILE_STORE(t, to, stride) lcf_tile_store(t, to, stride)
#define TILE_DOT_BYTES(c, a, b) lcf_tile_dot_bytes(c, a, b)
#define TILE_DOT_BF16(c, a, b) lcf_tile_dot_bf16(c, a, b)
#else
/* The compiler's own macros do not say that they read memory: stores before them could be moved
 * behind. */
#define TILE_CONFIGURE(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(config)))
#define TILE_RELEASE() __asm__ volatile("tilerelease" : : : "memory")
#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t : :)
#define TILE_LOAD(t, from, stride)                      \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t    \
                     :                                  \
                     : "r"(from), "r"((size_t)(stride)) \
                     : "memory")
#define TILE_STORE(t, to, stride)                        \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" \
                     :                                   \
                     : "r"(to), "r"((size_t)(stride))    \
                     : "memory")
#define TILE_DOT_BYTES(c, a, b) __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
#define TILE_DOT_BF16(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
#endif

#endif

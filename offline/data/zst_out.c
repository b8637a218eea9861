/* One frame by zstd's streaming compressor, behind a stream of the C library's. */
#include "offline/data/zst_out.h"

#include "common/base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <zstd.h>

enum { BUFFER_BYTES = 1 << 17 };

typedef struct zst_out {
    FILE *to;
    ZSTD_CCtx *zstd;
    char buffer[BUFFER_BYTES];
} zst_out;

/* Until all of `in` is taken, or at the end all of the frame is written. */
static bool compress(zst_out *z, ZSTD_inBuffer *in, ZSTD_EndDirective directive)
{
    size_t left;

    do {
        ZSTD_outBuffer out = {z->buffer, BUFFER_BYTES, 0};

        left = ZSTD_compressStream2(z->zstd, &out, in, directive);
        if (ZSTD_isError(left)) {
            errno = ENOMEM; /* nothing else can happen to it */
            return false;
        }
        if (fwrite(z->buffer, 1, out.pos, z->to) != out.pos)
            return false;
    } while (directive == ZSTD_e_end ? left > 0 : in->pos < in->size);
    return true;
}

static ssize_t write_to(void *cookie, const char *bytes, size_t n)
{
    ZSTD_inBuffer in = {bytes, n, 0};

    return compress(cookie, &in, ZSTD_e_continue) ? (ssize_t)n : 0;
}

static int close_out(void *cookie)
{
    zst_out *z = cookie;
    ZSTD_inBuffer nothing = {NULL, 0, 0};
    const bool done = compress(z, &nothing, ZSTD_e_end);

    ZSTD_freeCCtx(z->zstd);
    free(z);
    return done ? 0 : EOF;
}

lcf_status lcf_zst_out_open(FILE **out, FILE *to, lcf_err *err)
{
    const cookie_io_functions_t calls = {.write = write_to, .close = close_out};
    zst_out *z = lcf_alloc_zero(1, sizeof(*z));

    *out = NULL;
    if (z) {
        z->to = to;
        z->zstd = ZSTD_createCCtx();
        if (z->zstd && !ZSTD_isError(ZSTD_CCtx_setParameter(z->zstd, ZSTD_c_checksumFlag, 1)))
            *out = fopencookie(z, "w", calls);
    }
    if (*out)
        return LCF_OK;
    if (z)
        ZSTD_freeCCtx(z->zstd);
    free(z);
    return LCF_FAIL(err, LCF_ENOMEM, "a compressed stream");
}

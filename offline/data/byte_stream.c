/*
 * Plain bytes by fread; zstd frames, one after the other, by its streaming decompressor. The window
 * is bounded, so that a file cannot ask for more memory than that.
 */
#include "offline/data/byte_stream.h"

#include "common/base/mem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <zstd.h>

#define BUFFER_BYTES ((size_t)1 << 17)
#define WINDOW_LOG_MAX 27 /* zstd's own limit, --long apart */

struct lcf_byte_stream {
    FILE *file;
    char *path;
    ZSTD_DCtx *zstd; /* NULL: plain */
    size_t expected; /* of ZSTD_decompressStream: 0 at the end of a frame */
    bool file_ended;
    size_t at, bytes_n; /* what is left of `buffer` */
    lcf_err *why;       /* of who reads it as a FILE */
    unsigned char buffer[BUFFER_BYTES];
};

static lcf_status fill(lcf_byte_stream *s, lcf_err *err)
{
    s->at = 0;
    s->bytes_n = fread(s->buffer, 1, BUFFER_BYTES, s->file);
    s->file_ended = s->bytes_n < BUFFER_BYTES;
    if (ferror(s->file))
        return LCF_FAIL(err, LCF_EIO, "%s: cannot read: %s", s->path, strerror(errno));
    return LCF_OK;
}

/* A frame of data, or one that is to be skipped, as pzstd and seekable writers put first. */
static bool is_frame(const unsigned char *b, size_t n)
{
    uint32_t magic;

    if (n < sizeof(magic))
        return false;
    magic = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return magic == ZSTD_MAGICNUMBER ||
           (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

static lcf_status start(lcf_byte_stream *s, lcf_err *err)
{
    lcf_status status = fill(s, err);

    if (status || !is_frame(s->buffer, s->bytes_n))
        return status;
    s->zstd = ZSTD_createDCtx();
    if (!s->zstd ||
        ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
        return LCF_FAIL(err, LCF_ENOMEM, "%s: zstd", s->path);
    return LCF_OK;
}

/* Takes over `file`; NULL: it could not be opened, as errno says. */
static lcf_status open_file(lcf_byte_stream **out, FILE *file, const char *path, lcf_err *err)
{
    const int why = errno;
    lcf_byte_stream *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_status status;

    *out = NULL;
    if (!s || !(s->path = lcf_strdup(path))) {
        if (file)
            fclose(file);
        free(s);
        return LCF_FAIL(err, LCF_ENOMEM, "stream of %s", path);
    }
    s->file = file;
    status =
        file ? start(s, err)
             : LCF_FAIL(err, why == ENOENT ? LCF_ENOENT : LCF_EIO, "%s: %s", path, strerror(why));
    if (status)
        lcf_byte_stream_close(s);
    else
        *out = s;
    return status;
}

lcf_status lcf_byte_stream_open(lcf_byte_stream **out, const char *path, lcf_err *err)
{
    return open_file(out, fopen(path, "rb"), path, err);
}

lcf_status lcf_byte_stream_open_stdin(lcf_byte_stream **out, lcf_err *err)
{
    const int fd =
        dup(STDIN_FILENO); /* opening it anew begins a file anew, and fails of a socket */

    return open_file(out, fd < 0 ? NULL : fdopen(fd, "rb"), "stdin", err);
}

void lcf_byte_stream_close(lcf_byte_stream *s)
{
    if (!s)
        return;
    ZSTD_freeDCtx(s->zstd);
    if (s->file)
        fclose(s->file);
    free(s->path);
    free(s);
}

static lcf_status decompress(size_t *got, lcf_byte_stream *s, void *out, size_t n, lcf_err *err)
{
    ZSTD_outBuffer to = {out, n, 0};
    ZSTD_inBuffer from = {s->buffer, s->bytes_n, s->at};
    size_t result = ZSTD_decompressStream(s->zstd, &to, &from);

    if (ZSTD_isError(result))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: damaged: %s", s->path, ZSTD_getErrorName(result));
    s->expected = result;
    s->at = from.pos;
    *got = to.pos;
    return LCF_OK;
}

static size_t copy(lcf_byte_stream *s, void *out, size_t n)
{
    size_t left = s->bytes_n - s->at, taken = left < n ? left : n;

    memcpy(out, s->buffer + s->at, taken);
    s->at += taken;
    return taken;
}

lcf_status lcf_byte_stream_read(size_t *got, lcf_byte_stream *s, void *out, size_t n, lcf_err *err)
{
    size_t filled = 0, step = 0;
    lcf_status status = LCF_OK;

    *got = 0;
    while (filled < n && !status) {
        if (s->at == s->bytes_n && !s->file_ended)
            status = fill(s, err);
        if (status || (s->at == s->bytes_n && s->file_ended && !s->expected))
            break; /* at the end, and not within a frame */
        if (s->zstd)
            status = decompress(&step, s, (char *)out + filled, n - filled, err);
        else
            step = copy(s, (char *)out + filled, n - filled);
        filled += step;
        if (!status && !step && s->at == s->bytes_n && s->file_ended)
            break; /* the frame has nothing more to give */
    }
    if (!status && filled < n && s->zstd && s->expected)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: cut off within a frame", s->path);
    *got = filled;
    return status;
}

static ssize_t read_from(void *cookie, char *out, size_t n)
{
    lcf_byte_stream *s = cookie;
    size_t got;

    if (!lcf_byte_stream_read(&got, s, out, n, s->why))
        return (ssize_t)got;
    errno = EIO;
    return -1;
}

FILE *lcf_byte_stream_file(lcf_byte_stream *s, lcf_err *why)
{
    const cookie_io_functions_t calls = {.read = read_from};

    s->why = why;
    return fopencookie(s, "r", calls);
}

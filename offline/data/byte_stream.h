/*
 * A file read from its beginning to its end, plain or compressed by zstd (told by its first bytes),
 * in memory that does not grow with it.
 *
 * One thread at a time.
 */
#ifndef LCF_OFFLINE_DATA_BYTE_STREAM_H
#define LCF_OFFLINE_DATA_BYTE_STREAM_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdio.h>

typedef struct lcf_byte_stream lcf_byte_stream;

/* errors: ENOENT, EIO, ENOMEM */
lcf_status lcf_byte_stream_open(lcf_byte_stream **out, const char *path, lcf_err *err);
/* The same for what standard input has left. */
lcf_status lcf_byte_stream_open_stdin(lcf_byte_stream **out, lcf_err *err);
void lcf_byte_stream_close(lcf_byte_stream *s); /* NULL is fine */
/*
 * Reads until `out` is full or the file ends: *got < n says that it has ended.
 *
 * errors   EIO; EFORMAT what is compressed is damaged or cut off
 */
lcf_status lcf_byte_stream_read(size_t *got, lcf_byte_stream *s, void *out, size_t n, lcf_err *err);
/* The same as a FILE to read from, which is closed before the stream; NULL: out of memory. Where
 * reading fails *why says what is wrong. */
FILE *lcf_byte_stream_file(lcf_byte_stream *s, lcf_err *why);

#endif

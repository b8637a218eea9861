/*
 * A FILE whose content is compressed by zstd, with its checksum, on its way into another FILE.
 *
 * One thread at a time.
 */
#ifndef LCF_OFFLINE_DATA_ZST_OUT_H
#define LCF_OFFLINE_DATA_ZST_OUT_H

#include "common/base/status.h"

#include <stdio.h>

/*
 * *out ends its frame when it is closed, and leaves `to` open. What fails on the way shows as ever:
 * by ferror, and by fclose giving EOF.
 *
 * errors   ENOMEM
 */
lcf_status lcf_zst_out_open(FILE **out, FILE *to, lcf_err *err);

#endif

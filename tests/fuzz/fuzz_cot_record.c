/* A CoT record from outside: as a message, and as a compressed frame of one. What unpacks must pack
 * again, and unpack to the same bytes. */
#include "common/store/cot_record.h"
#include "common/store/cot_zstd.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unpack(const void *bytes, size_t n)
{
    lcf_buf once = LCF_BUF_INIT, twice = LCF_BUF_INIT;
    lcf_cot_record *record, *again = NULL;

    if (lcf_cot_record_unpack(&record, bytes, n, NULL))
        return;
    LCF_ASSERT(!lcf_cot_record_pack(&once, record, NULL));
    LCF_ASSERT(!lcf_cot_record_unpack(&again, once.data, once.len, NULL));
    LCF_ASSERT(!lcf_cot_record_pack(&twice, again, NULL));
    LCF_ASSERT(once.len == twice.len && !memcmp(once.data, twice.data, once.len));
    lcf_buf_dispose(&once);
    lcf_buf_dispose(&twice);
    free(record);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lcf_cot_codec *codec;
    lcf_buf raw = LCF_BUF_INIT;

    if (!codec && lcf_cot_codec_create(&codec, 3, NULL))
        return 0;
    unpack(data, size);
    if (lcf_cot_codec_decode(codec, &raw, data, size, NULL) == LCF_OK)
        unpack(raw.data, raw.len);
    lcf_buf_dispose(&raw);
    return 0;
}

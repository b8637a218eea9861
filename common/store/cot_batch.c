/* Records on their way into a CoT store: see cot_batch.h. */
#include "common/store/cot_batch.h"

#include "common/store/cot_record.h"

#include <stdlib.h>

static lcf_status copy_record(lcf_cot_record **out, const lcf_cot_record *record, lcf_err *err)
{
    lcf_buf packed = LCF_BUF_INIT;
    lcf_status status = lcf_cot_record_pack(&packed, record, err);

    if (!status)
        status = lcf_cot_record_unpack(out, packed.data, packed.len, err);
    lcf_buf_dispose(&packed);
    return status;
}

lcf_status cot_batch_add(void *batch, const lcf_cot_record *record, lcf_err *err)
{
    cot_batch *b = batch;
    lcf_status status = copy_record(&b->owned[b->n], record, err);

    if (status)
        return status;
    b->records[b->n] = *b->owned[b->n];
    return ++b->n == COT_BATCH_RECORDS ? cot_batch_flush(b, err) : LCF_OK;
}

lcf_status cot_batch_flush(cot_batch *b, lcf_err *err)
{
    const lcf_status status = lcf_cot_store_put(b->to, b->records, b->n, err);

    cot_batch_discard(b);
    return status;
}

void cot_batch_discard(cot_batch *b)
{
    while (b->n)
        free(b->owned[--b->n]);
}

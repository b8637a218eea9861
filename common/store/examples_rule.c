/* The retrieval rule by names: as options and files spell it. */
#include "common/base/json.h"
#include "common/store/examples.h"

#include <string.h>

static const char *const KINDS[LCF_FAISS_KINDS_N] = {"flat", "hnsw", "ivf", "sq8"};
static const char *const MODES[] = {"same-user", "strict"};
static const char *const BYS[] = {"both", "history", "target", "codes"};

const char *lcf_faiss_kind_name(lcf_faiss_kind kind)
{
    return KINDS[kind];
}

lcf_status lcf_faiss_kind_parse(lcf_faiss_kind *out, const char *name, lcf_err *err)
{
    for (size_t i = 0; i < LCF_FAISS_KINDS_N; i++)
        if (!strcmp(name, KINDS[i])) {
            *out = (lcf_faiss_kind)i;
            return LCF_OK;
        }
    return LCF_FAIL(err, LCF_EINVAL, "an index is flat, hnsw, ivf or sq8, not '%s'", name);
}

const char *lcf_retrieval_mode_name(lcf_retrieval_mode mode)
{
    return MODES[mode];
}

const char *lcf_retrieval_by_name(lcf_retrieval_by by)
{
    return BYS[by];
}

lcf_status lcf_retrieval_mode_parse(lcf_retrieval_mode *out, const char *name, lcf_err *err)
{
    for (size_t i = 0; i < sizeof(MODES) / sizeof(MODES[0]); i++)
        if (!strcmp(name, MODES[i])) {
            *out = (lcf_retrieval_mode)i;
            return LCF_OK;
        }
    return LCF_FAIL(err, LCF_EINVAL, "the mode of retrieval is same-user or strict, not '%s'",
                    name);
}

lcf_status lcf_retrieval_by_parse(lcf_retrieval_by *out, const char *name, lcf_err *err)
{
    for (size_t i = 0; i < sizeof(BYS) / sizeof(BYS[0]); i++)
        if (!strcmp(name, BYS[i])) {
            *out = (lcf_retrieval_by)i;
            return LCF_OK;
        }
    return LCF_FAIL(err, LCF_EINVAL,
                    "retrieval goes by both, history, target or codes, not by '%s'", name);
}

json_t *lcf_example_options_to_json(const lcf_example_options *o)
{
    return json_pack("{s:b, s:s, s:I, s:s}", "balanced", (int)o->balanced, "by",
                     lcf_retrieval_by_name(o->by), "k", (json_int_t)o->k, "mode",
                     lcf_retrieval_mode_name(o->mode));
}

lcf_status lcf_example_options_of_json(lcf_example_options *out, const json_t *json, lcf_err *err)
{
    const json_t *balanced = json_object_get(json, "balanced");
    const char *by, *mode;
    uint64_t k;
    lcf_status status = lcf_json_u64(&k, json, "k", err);

    if (!status)
        status = lcf_json_str(&by, json, "by", err);
    if (!status)
        status = lcf_json_str(&mode, json, "mode", err);
    if (status)
        return status;
    if (!json_is_boolean(balanced) || k < 1 || k > LCF_EXAMPLES_K_MAX ||
        lcf_retrieval_by_parse(&out->by, by, err) ||
        lcf_retrieval_mode_parse(&out->mode, mode, err))
        return LCF_FAIL(err, LCF_EFORMAT,
                        "a retrieval rule has balanced (true or false), k (1 to %d), by and mode",
                        LCF_EXAMPLES_K_MAX);
    out->k = (uint32_t)k;
    out->balanced = json_is_true(balanced);
    return LCF_OK;
}

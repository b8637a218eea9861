// A C++ program can use the ranking library: names, linkage and the refusal of a snapshot that is
// not there.
#include "online/rank/llmcf.h"

#include <cstring>

int main()
{
    lcf_err err = LCF_ERR_INIT;
    lcf_ranker_snapshot *snapshot = nullptr;
    const lcf_status status = lcf_rank_open(&snapshot, "no/such/snapshot", &err);

    return status == LCF_ENOENT && !snapshot && std::strstr(err.text, "no/such/snapshot") ? 0 : 1;
}

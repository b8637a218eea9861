/*
 * embed SNAPSHOT USER ITEM...: the ranking library in somebody else's program, which sees llmcf.h
 * and libllmcf.so and nothing else of the project. Prints "item score" in order.
 */
#include <llmcf.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    lcf_ranker_snapshot *snapshot = NULL;
    lcf_rank_context *context = NULL;
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;

    if (argc < 4)
        return 2;
    lcf_rank_request request = {.user_id = argv[2],
                                .candidates = (const char *const *)argv + 3,
                                .candidates_n = (size_t)argc - 3};
    if (lcf_rank_open(&snapshot, argv[1], &err) ||
        lcf_rank_context_create(&context, snapshot, &err) ||
        lcf_rank(&response, context, &request, &err))
        fprintf(stderr, "embed: %s: %s\n", lcf_status_text(err.status), err.text);
    else
        for (size_t i = 0; i < response.results_n; i++)
            printf("%s %.9g\n", response.results[i].item_id, (double)response.results[i].score);
    lcf_rank_context_free(context);
    lcf_rank_close(snapshot);
    return err.status ? 1 : 0;
}

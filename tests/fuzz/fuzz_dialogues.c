/* Dialogue files: any bytes are rows or an error that names the source. The first byte chooses the
 * form. */
#include "common/base/status.h"
#include "offline/recgen/segments.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A row keeps the invariant of dialogues.h, and makes segments in every template. */
static void check_row(const lcf_dialogues *g, size_t row)
{
    size_t turns = lcf_dialogues_turns_n(g, row);
    lcf_dialogue_trim trim = {row % 3, row % 5};

    LCF_ASSERT(turns > 0);
    LCF_ASSERT(lcf_dialogues_turn(g, row, turns - 1).role == LCF_ROLE_ASSISTANT);
    for (size_t i = 0; i < turns; i++) {
        lcf_turn turn = lcf_dialogues_turn(g, row, i);
        LCF_ASSERT(turn.role != LCF_ROLE_SYSTEM || i == 0);
        LCF_ASSERT(turn.role != LCF_ROLE_ASSISTANT || turn.text.len > 0);
    }
    for (int chat = 0; chat < LCF_CHATS_N; chat++) {
        lcf_segments s = {.n = 0};
        LCF_ASSERT(!lcf_chat_segments(&s, (lcf_chat)chat, g, row, &trim, NULL));
        for (size_t i = 0; i < s.n; i++)
            LCF_ASSERT(s.list[i].begin <= s.list[i].end && s.list[i].end <= s.text.len);
        lcf_segments_dispose(&s);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_dialogues g = LCF_DIALOGUES_INIT;
    lcf_err err = LCF_ERR_INIT;

    if (!size)
        return 0;
    if (lcf_dialogues_parse(&g, (lcf_dialogue_form)(data[0] & 3), (const char *)data + 1, size - 1,
                            "fuzz", &err))
        LCF_ASSERT(strstr(err.text, "fuzz"));
    for (size_t i = 0; i < g.n; i++)
        check_row(&g, i);
    lcf_dialogues_dispose(&g);
    return 0;
}

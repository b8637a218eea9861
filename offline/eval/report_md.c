/* The report as Markdown. */
#include "offline/eval/report.h"

typedef struct section {
    const char *title;
    void (*text)(lcf_buf *out, const lcf_report *report); /* NULL: the table alone */
} section;

static const section SECTIONS[LCF_REPORT_TABLES_N] = {
    [LCF_TABLE_GATE] = {"Guardrails", NULL},
    [LCF_TABLE_MEASURES] = {"Measures", NULL},
    [LCF_TABLE_TESTS] = {"Second opinions and power", NULL},
    [LCF_TABLE_OTHERS] = {"Tests without resampling", NULL},
    [LCF_TABLE_SLICES] = {"Slices, the worst first", NULL},
    [LCF_TABLE_SEEDS] = {"Seeds", NULL},
    [LCF_TABLE_BINS] = {"Reliability", NULL},
    [LCF_TABLE_DRIFT] = {"Scores and their drift", lcf_report_drift_text},
    [LCF_TABLE_LATENCY] = {"Latency", lcf_report_latency_text},
    [LCF_TABLE_TRAINING] = {"Training", lcf_report_training_text},
    [LCF_TABLE_SOURCES] = {"Where it came from", NULL},
};

static void append_section(lcf_buf *out, const lcf_report *report, lcf_report_table table)
{
    const section *s = &SECTIONS[table];
    lcf_grid g;
    lcf_status status = lcf_report_grid(&g, report, table);

    if (status)
        out->status = status;
    if (g.rows_n || s->text) {
        lcf_buf_printf(out, "\n## %s\n\n", s->title);
        if (s->text) {
            s->text(out, report);
            lcf_buf_append_text(out, g.rows_n ? "\n\n" : "\n");
        }
        lcf_grid_markdown(out, &g);
    }
    lcf_grid_dispose(&g);
}

void lcf_report_markdown(lcf_buf *out, const lcf_report *report)
{
    lcf_buf_printf(out, "# %s against %s\n\n**", report->arm_name[1], report->arm_name[0]);
    lcf_report_verdict(out, report);
    lcf_buf_append_text(out, "**");
    if (report->conditions_n)
        lcf_buf_printf(out, " Gate: **%s**.", report->passed ? "passed" : "not passed");
    lcf_buf_append_text(out, "\n\n");
    lcf_report_method(out, report);
    for (size_t table = 0; table < LCF_REPORT_TABLES_N; table++)
        append_section(out, report, (lcf_report_table)table);
    lcf_buf_append_char(out, '\n');
    lcf_report_options_text(out, report);
    lcf_buf_printf(out, "\nThe same report again, byte for byte:\n\n    %s\n",
                   report->background->command ? report->background->command : "");
}

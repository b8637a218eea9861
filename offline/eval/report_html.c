/*
 * The report as one HTML file that needs nothing else: what to do on top, then the evidence, then
 * where it came from. Charts are in report_charts.c, the look in report_style.c.
 */
#include "offline/eval/report.h"

#include "offline/eval/report_style.h"
#include "offline/eval/svg.h"

#include <stdlib.h>

typedef void (*text_writer)(lcf_buf *out, const lcf_report *report);

static void append_table(lcf_buf *out, const lcf_report *report, lcf_report_table table)
{
    lcf_grid g;
    lcf_status status = lcf_report_grid(&g, report, table);

    if (status)
        out->status = status;
    lcf_grid_html(out, &g);
    lcf_grid_dispose(&g);
}

/* A table that the reader may fold away. */
static void append_details(lcf_buf *out, const lcf_report *report, lcf_report_table table,
                           const char *title)
{
    lcf_buf_printf(out, "<details open><summary>%s</summary>\n", title);
    append_table(out, report, table);
    lcf_buf_append_text(out, "</details>\n");
}

static void append_text(lcf_buf *out, const lcf_report *report, text_writer write)
{
    lcf_buf text = LCF_BUF_INIT;

    write(&text, report);
    lcf_buf_append_text(out, "<p>");
    lcf_xml_escape(out, lcf_buf_text(&text));
    lcf_buf_append_text(out, "</p>\n");
    if (text.status)
        out->status = text.status;
    lcf_buf_dispose(&text);
}

static void append_caption(lcf_buf *out, const char *text)
{
    lcf_buf_printf(out, "<figcaption>%s</figcaption></figure>\n", text);
}

/* A chart as wide as the page. */
static void append_wide(lcf_buf *out, const lcf_report *report, text_writer chart,
                        const char *caption)
{
    lcf_buf_append_text(out, "<figure><div class=\"wide\">\n");
    chart(out, report);
    lcf_buf_append_text(out, "</div>");
    append_caption(out, caption);
}

static void append_figure(lcf_buf *out, const lcf_report *report, text_writer chart,
                          const char *caption)
{
    lcf_buf_append_text(out, "<figure>\n");
    chart(out, report);
    append_caption(out, caption);
}

/* ---- the sections ---- */

static void append_verdict(lcf_buf *out, const lcf_report *report)
{
    static const char *const CSS[] = {[LCF_VERDICT_SHIP] = "good",
                                      [LCF_VERDICT_HOLD] = "bad",
                                      [LCF_VERDICT_NO_DIFFERENCE] = "open"};
    lcf_verdict verdict =
        lcf_comparison_verdict(report->comparison, report->conditions, report->conditions_n);
    lcf_buf text = LCF_BUF_INIT;

    lcf_report_verdict(&text, report);
    lcf_buf_printf(out, "<p class=\"verdict %s\">", CSS[verdict]);
    lcf_xml_escape(out, lcf_buf_text(&text));
    lcf_buf_append_text(out, "</p>\n");
    if (text.status)
        out->status = text.status;
    lcf_buf_dispose(&text);
}

static void append_contents(lcf_buf *out, const lcf_report *report)
{
    lcf_buf_append_text(out, "<nav><a href=\"#measures\">Measures</a>");
    if (report->comparison->slices_n)
        lcf_buf_append_text(out, "<a href=\"#slices\">Slices</a>");
    lcf_buf_append_text(out, "<a href=\"#curves\">Curves</a><a href=\"#scores\">Scores</a>"
                             "<a href=\"#latency\">Latency</a><a href=\"#training\">Training</a>"
                             "<a href=\"#method\">How to read this</a>"
                             "<a href=\"#sources\">Where it came from</a></nav>\n");
}

static void append_gate(lcf_buf *out, const lcf_report *report)
{
    if (!report->conditions_n)
        return;
    lcf_page_section(out, "gate", "Guardrails");
    lcf_buf_printf(out, "<p>Gate: <span class=\"%s</span>.</p>\n",
                   report->passed ? "good\">passed" : "bad\">not passed");
    append_table(out, report, LCF_TABLE_GATE);
    lcf_page_section_end(out);
}

static void append_measures(lcf_buf *out, const lcf_report *report)
{
    lcf_page_section(out, "measures", "Measures");
    append_wide(out, report, lcf_report_measures_chart,
                "Lifts (B - A) with 95 % intervals, each on a scale of its own and turned so that "
                "right of the dashed line is better. In colour: the interval excludes 0.");
    append_table(out, report, LCF_TABLE_MEASURES);
    append_details(out, report, LCF_TABLE_TESTS, "Second opinions and power");
    append_details(out, report, LCF_TABLE_OTHERS, "Tests without resampling");
    lcf_page_section_end(out);
}

static void append_slices(lcf_buf *out, const lcf_report *report)
{
    if (!report->comparison->slices_n)
        return;
    lcf_page_section(out, "slices", "For whom: AUC lift by slice, the worst first");
    append_wide(out, report, lcf_report_slices_chart,
                "Dots are lifts (B - A), lines 95 % intervals; right of 0 B is better. In colour: "
                "the interval of all rows excludes 0, or a slice's p-value after Holm's correction "
                "is below .05. Small slices at the top are often there by chance.");
    append_details(out, report, LCF_TABLE_SLICES, "Slices as a table");
    lcf_page_section_end(out);
}

static void append_curves(lcf_buf *out, const lcf_report *report)
{
    lcf_page_section(out, "curves", "Curves");
    lcf_buf_append_text(out, "<div class=\"charts\">\n");
    append_figure(out, report, lcf_report_roc_chart,
                  "ROC, averaged over seeds. Higher is better; the dashed line is guessing.");
    append_figure(out, report, lcf_report_pr_chart,
                  "Precision and recall, averaged over seeds. Higher is better; the dashed line is "
                  "the share of positives, which guessing gives.");
    append_figure(out, report, lcf_report_reliability_chart,
                  "Reliability in ten bins, all seeds together. On the dashed line scores are true "
                  "probabilities.");
    lcf_buf_append_text(out, "</div>\n");
    append_details(out, report, LCF_TABLE_BINS, "Reliability as a table");
    lcf_page_section_end(out);
}

static void append_drift_charts(lcf_buf *out, const lcf_report *report)
{
    lcf_buf_append_text(out, "<div class=\"charts\">\n");
    append_figure(out, report, lcf_report_scores_chart, "Scores of both arms on the same rows.");
    for (size_t a = 0; a < LCF_ARMS; a++)
        if (report->background->elsewhere[a].n) {
            lcf_buf_append_text(out, "<figure>\n");
            lcf_report_drift_chart(out, report, a);
            append_caption(out, a ? "Scores of B on both splits." : "Scores of A on both splits.");
        }
    lcf_buf_append_text(out, "</div>\n");
}

static void append_drift(lcf_buf *out, const lcf_report *report)
{
    lcf_page_section(out, "scores", "Scores and their drift");
    append_text(out, report, lcf_report_drift_text);
    append_table(out, report, LCF_TABLE_DRIFT);
    if (report->background->scores[0].n)
        append_drift_charts(out, report);
    lcf_page_section_end(out);
}

static void append_latency(lcf_buf *out, const lcf_report *report)
{
    lcf_page_section(out, "latency", "Latency");
    append_text(out, report, lcf_report_latency_text);
    append_table(out, report, LCF_TABLE_LATENCY);
    if (report->background->latency[0].known || report->background->latency[1].known)
        append_figure(
            out, report, lcf_report_latency_chart,
            "Time of an answer inside the ranking library, by percentile up to the 99th.");
    lcf_page_section_end(out);
}

static void valid_auc_chart(lcf_buf *out, const lcf_report *report)
{
    lcf_report_learning_chart(out, report, false);
}

static void loss_chart(lcf_buf *out, const lcf_report *report)
{
    lcf_report_learning_chart(out, report, true);
}

static void append_training(lcf_buf *out, const lcf_report *report)
{
    const lcf_training *t = report->background->training;

    lcf_page_section(out, "training", "Training");
    append_text(out, report, lcf_report_training_text);
    if (t[0].known || t[1].known) {
        lcf_buf_append_text(out, "<div class=\"charts\">\n");
        append_figure(
            out, report, valid_auc_chart,
            "AUC on the valid split after each epoch, a line a seed; the dot is the epoch "
            "whose weights were kept.");
        append_figure(out, report, loss_chart,
                      "Training loss; losses of different models are not comparable.");
        lcf_buf_append_text(out, "</div>\n");
        append_table(out, report, LCF_TABLE_TRAINING);
    }
    append_details(out, report, LCF_TABLE_SEEDS, "Every seed on these rows");
    lcf_page_section_end(out);
}

static void append_list(lcf_buf *out, const lcf_report *report, text_writer write)
{
    lcf_buf text = LCF_BUF_INIT;

    write(&text, report);
    if (text.len)
        lcf_page_list(out, lcf_buf_text(&text));
    if (text.status)
        out->status = text.status;
    lcf_buf_dispose(&text);
}

static void append_method(lcf_buf *out, const lcf_report *report)
{
    lcf_page_section(out, "method", "How to read this");
    append_list(out, report, lcf_report_method);
    lcf_page_section_end(out);
}

static void append_sources(lcf_buf *out, const lcf_report *report)
{
    lcf_page_section(out, "sources", "Where it came from");
    append_table(out, report, LCF_TABLE_SOURCES);
    append_list(out, report, lcf_report_options_text);
    lcf_buf_append_text(out, "<p>The same report again, byte for byte:</p>\n<pre>");
    lcf_xml_escape(out, report->background->command ? report->background->command : "");
    lcf_buf_append_text(out, "</pre>\n");
    lcf_page_section_end(out);
}

void lcf_report_html(lcf_buf *out, const lcf_report *report)
{
    lcf_buf title = LCF_BUF_INIT;

    lcf_buf_printf(&title, "%s (B) against %s (A)", report->arm_name[1], report->arm_name[0]);
    lcf_page_open(out, lcf_buf_text(&title));
    if (title.status)
        out->status = title.status;
    lcf_buf_dispose(&title);
    append_verdict(out, report);
    append_contents(out, report);
    append_gate(out, report);
    append_measures(out, report);
    append_slices(out, report);
    append_curves(out, report);
    append_drift(out, report);
    append_latency(out, report);
    append_training(out, report);
    append_method(out, report);
    append_sources(out, report);
    lcf_page_close(out);
}

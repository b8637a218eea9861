// Retrieval for one request: 500 candidates of one user, two examples of each label for every
// candidate, on one thread; our lists of neighbours beside FAISS on the joint vectors [0.5 hbar,
// 0.5 t] (flat, HNSW, IVF, SQ8; one index per label, all candidates in one call), each at the first
// setting that finds at least 99 % of the examples that the definition finds.
//
//     bench_retrieval [EXAMPLES [DIM [flat|ivf|hnsw|sq8|none ...] [keep=DIR]]]
//     (default 100000 256 flat ivf hnsw sq8); CSV on stdout: name,value,unit
//
// A peer that does not come to 99 % within PEER_S seconds a label is printed at the last setting
// that it was tried at; the unit of its recall says so.
//
// keep=DIR keeps what was long in the making, and reads it there the next time; make-hnsw and the
// like measure nothing and fill that folder. What sq8 finds is scored once more in full precision;
// it is asked for 20 of a request's candidates, one after the other, and its time is that of 25
// times as many.
//
// index-hnsw, index-ivf and index-sq8 are what `llmcf index --kind` makes: measured on 256 of the
// examples' own rows, one at a time, while they are made, and on the same requests.
//
// retrieval.csv has several runs, told apart by its last column: 2 to 5 beside one training on the
// other core, 8 beside one program of low priority there, the others with nothing else on the
// machine. Times are to be compared within a run.
//
// The data are made up: item vectors around 200 centres, users who stay with three of them; 12,000
// items, histories of 1 to 20. Building an HNSW index takes minutes from 100,000 examples on.
// Writes a file into the working directory and removes it.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/index_io.h>
#include <malloc.h>
#include <memory>
#include <random>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

extern "C" {
#include "common/base/cli.h"
#include "common/base/file.h"
#include "common/store/examples_index.h"
#include "common/store/neighbours.h"

void omp_set_num_threads(int);
}

namespace
{

constexpr size_t ITEMS = 12000, CENTRES = 200, CANDIDATES = 500, K = 4, REQUESTS = 24;
// Debian's quantised scan takes 20 s and more for all candidates of a request, one after the other.
constexpr size_t SQ8_CANDIDATES = 20;
constexpr double RECALL = 0.99;
constexpr double PEER_S = 40;         // of searching for a setting
constexpr int IVF_POINTS = 64;        // per cell, for training
constexpr size_t TRAIN_ROWS = 100000; // of cells and of ranges
static_assert(K / 2 == 2, "places of a label");

struct data {
    size_t n, dim;
    std::vector<float> items, history_vec, target_vec;
    std::vector<lcf_hash128> keys;
    std::vector<uint32_t> user, item, history, history_n;
    std::vector<uint8_t> label;
    std::vector<int64_t> time;
    std::vector<std::vector<uint32_t>> of_centre;
    std::mt19937 rng{1};
    lcf_embeddings embeddings;
    lcf_examples examples;
    std::string keep; // folder of the peers' indices; "": none
};

struct request {
    std::vector<float> history_vec;
    std::vector<uint32_t> items;
    std::vector<lcf_example_query> queries;
    std::vector<uint32_t> exact; // [CANDIDATES, K]
};

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

double resident_mib()
{
    long pages = 0, own = 0;
    FILE *f;

    malloc_trim(0); // what was freed is not there any more
    f = fopen("/proc/self/statm", "r");

    if (!f || fscanf(f, "%ld %ld", &pages, &own) != 2)
        own = 0;
    if (f)
        fclose(f);
    return static_cast<double>(own) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1048576;
}

void check(lcf_status status, const lcf_err &err)
{
    if (!status)
        return;
    fprintf(stderr, "bench_retrieval: %s\n", err.text);
    exit(1);
}

void make_items(data &d)
{
    std::normal_distribution<float> normal;
    std::vector<float> centres(CENTRES * d.dim);

    for (float &x : centres)
        x = normal(d.rng);
    d.items.assign(ITEMS * d.dim, 0.0f);
    d.of_centre.resize(CENTRES);
    for (uint32_t i = 1; i < ITEMS; i++) {
        const size_t c = d.rng() % CENTRES;
        float *v = &d.items[i * d.dim], square = 0;

        d.of_centre[c].push_back(i);
        for (size_t j = 0; j < d.dim; j++) {
            v[j] = centres[c * d.dim + j] + 0.8f * normal(d.rng);
            square += v[j] * v[j];
        }
        for (size_t j = 0; j < d.dim; j++)
            v[j] /= std::sqrt(square);
    }
    d.embeddings = {nullptr, ITEMS, d.dim, d.items.data(), nullptr};
}

// Mostly of the user's centres, and mostly the popular ones of a centre.
uint32_t draw_item(data &d, uint32_t user)
{
    std::uniform_real_distribution<double> u;
    const size_t c = u(d.rng) < 0.8 ? (user * 31 + d.rng() % 3 * 67) % CENTRES : d.rng() % CENTRES;
    const auto &list = d.of_centre[c];
    const double x = u(d.rng);

    return list[static_cast<size_t>(x * x * static_cast<double>(list.size() - 1))];
}

void make_examples(data &d, bool targets)
{
    d.history.assign(d.n * LCF_HISTORY_MAX, 0);
    d.history_vec.resize(d.n * d.dim);
    d.target_vec.resize(targets ? d.n * d.dim : 0);
    for (size_t i = 0; i < d.n; i++) {
        const uint32_t user = 1 + static_cast<uint32_t>(d.rng() % (d.n / 4 + 1));
        const uint32_t n = 1 + static_cast<uint32_t>(d.rng() % LCF_HISTORY_MAX);
        lcf_hash128 key = {};

        memcpy(key.bytes, &i, sizeof(i));
        d.keys.push_back(key);
        d.user.push_back(user);
        d.item.push_back(draw_item(d, user));
        d.history_n.push_back(n);
        for (uint32_t j = 0; j < n; j++)
            d.history[i * LCF_HISTORY_MAX + j] = draw_item(d, user);
        d.label.push_back(static_cast<uint8_t>(d.rng() % 2));
        d.time.push_back(static_cast<int64_t>(i));
        lcf_embeddings_mean(&d.history_vec[i * d.dim], &d.embeddings,
                            &d.history[i * LCF_HISTORY_MAX], n);
        if (targets)
            memcpy(&d.target_vec[i * d.dim], &d.items[d.item[i] * d.dim], d.dim * sizeof(float));
    }
    d.examples = {};
    d.examples.n = d.n;
    d.examples.text_dim = d.dim;
    d.examples.key = d.examples.sample_hash = d.keys.data();
    d.examples.user = d.user.data();
    d.examples.item = d.item.data();
    d.examples.label = d.label.data();
    d.examples.time = d.time.data();
    d.examples.history = d.history.data();
    d.examples.history_n = d.history_n.data();
    d.examples.history_vec = d.history_vec.data();
    d.examples.target_vec = d.target_vec.data();
}

// Candidates of a retrieval stage: half of the user's taste, half of anything.
std::vector<request> make_requests(data &d)
{
    std::vector<request> list(REQUESTS);

    for (request &r : list) {
        const uint32_t user = 1 + static_cast<uint32_t>(d.rng() % (d.n / 4 + 1));
        std::vector<uint32_t> history;

        for (size_t j = 0; j < 10; j++)
            history.push_back(draw_item(d, user));
        r.history_vec.resize(d.dim);
        lcf_embeddings_mean(r.history_vec.data(), &d.embeddings, history.data(), history.size());
        for (size_t i = 0; i < CANDIDATES; i++)
            r.items.push_back(i % 2 ? draw_item(d, user)
                                    : 1 + static_cast<uint32_t>(d.rng() % (ITEMS - 1)));
        for (uint32_t item : r.items)
            r.queries.push_back({0, INT64_MAX, {}, r.history_vec.data(), &d.items[item * d.dim]});
    }
    return list;
}

double median(std::vector<double> &values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

void print(const std::string &name, size_t n, size_t dim, double value, const char *unit)
{
    printf("retrieval_%zuk_%zu_%s,%.6g,%s\n", n / 1000, dim, name.c_str(), value, unit);
    fflush(stdout);
}

// The lists; their results are the definition's, bit for bit, which is checked on some queries of
// every request.
void measure_ours(data &d, std::vector<request> &requests)
{
    const char *path = "bench_retrieval.lcf";
    lcf_example_options options = LCF_EXAMPLE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_neighbours nb;
    lcf_neighbours_scratch *scratch = nullptr;
    std::vector<uint32_t> ids(CANDIDATES * K), few(K);
    std::vector<float> scores(CANDIDATES * K);
    std::vector<double> ms;
    size_t unsettled = 0;
    bool written = false;
    const double start = now(), before = resident_mib();

    options.k = K;
    check(lcf_examples_shared_init(&d.examples, &err), err);
    check(lcf_neighbours_save(&written, path, &d.embeddings, &d.examples, &err), err);
    if (!written) {
        fprintf(stderr, "bench_retrieval: too many pairs for lists\n");
        exit(1);
    }
    print("lists_make", d.n, d.dim, now() - start, "s");
    check(lcf_neighbours_open(&nb, path, ITEMS, &d.examples, &err), err);
    unlink(path);
    check(lcf_neighbours_scratch_create(&scratch, &nb, &d.examples, CANDIDATES, &err), err);
    for (request &r : requests) {
        double at = now();
        check(lcf_neighbours_search(ids.data(), scores.data(), scratch, &nb, &d.examples,
                                    r.items.data(), r.queries.data(), CANDIDATES, &options, &err),
              err);
        ms.push_back((now() - at) * 1e3);
        unsettled += lcf_neighbours_unsettled(scratch);
        r.exact = ids;
        for (size_t i = 0; i < CANDIDATES; i += 125) {
            check(lcf_examples_search_exact(few.data(), nullptr, &d.examples, &r.queries[i], 1,
                                            &options, &err),
                  err);
            if (!std::equal(few.begin(), few.end(), ids.begin() + static_cast<long>(i * K))) {
                fprintf(stderr, "bench_retrieval: not the definition's examples\n");
                exit(1);
            }
        }
    }
    print("lists_memory", d.n, d.dim, resident_mib() - before, "MiB");
    print("lists_unsettled", d.n, d.dim,
          static_cast<double>(unsettled) / static_cast<double>(REQUESTS * CANDIDATES), "share");
    ms.erase(ms.begin(), ms.begin() + 4);
    print("lists_request", d.n, d.dim, median(ms), "ms");
    lcf_neighbours_scratch_free(scratch);
    lcf_neighbours_close(&nb);
    lcf_examples_shared_dispose(&d.examples);
}

// The examples of one label, whose joint vectors [0.5 hbar, 0.5 t] are the rows of a peer's index.
std::vector<uint32_t> of_label(const data &d, int label)
{
    std::vector<uint32_t> ids;

    for (uint32_t i = 0; i < d.n; i++)
        if (d.label[i] == label)
            ids.push_back(i);
    return ids;
}

std::vector<float> joint_rows(const data &d, const uint32_t *ids, size_t n)
{
    std::vector<float> rows;

    rows.reserve(n * 2 * d.dim);
    for (size_t i = 0; i < n; i++) {
        const float *halves[] = {&d.history_vec[ids[i] * d.dim], &d.items[d.item[ids[i]] * d.dim]};

        for (const float *half : halves)
            for (size_t j = 0; j < d.dim; j++)
                rows.push_back(0.5f * half[j]);
    }
    return rows;
}

std::unique_ptr<faiss::Index> empty_index(const std::string &kind, int joint, size_t n)
{
    constexpr auto metric = faiss::METRIC_INNER_PRODUCT;

    if (kind == "hnsw") {
        auto index = std::make_unique<faiss::IndexHNSWFlat>(joint, 32, metric);
        index->hnsw.efConstruction = 80;
        return index;
    }
    if (kind == "ivf") {
        auto index = std::make_unique<faiss::IndexIVFFlat>(
            new faiss::IndexFlatIP(joint), static_cast<size_t>(joint),
            static_cast<size_t>(2 * std::sqrt(static_cast<double>(n))), metric);
        index->own_fields = true;
        index->cp.niter = 10;
        index->cp.max_points_per_centroid = IVF_POINTS;
        return index;
    }
    if (kind == "sq8")
        return std::make_unique<faiss::IndexScalarQuantizer>(joint, faiss::ScalarQuantizer::QT_8bit,
                                                             metric);
    return std::make_unique<faiss::IndexFlatIP>(joint);
}

std::unique_ptr<faiss::Index> make_index(const std::string &kind, const data &d,
                                         const std::vector<uint32_t> &ids)
{
    constexpr size_t BLOCK = 65536;
    auto index = empty_index(kind, static_cast<int>(2 * d.dim), ids.size());

    omp_set_num_threads(2);
    if (!index->is_trained) {
        std::vector<uint32_t> sample = ids;

        std::shuffle(sample.begin(), sample.end(), std::mt19937(3));
        sample.resize(std::min(sample.size(), TRAIN_ROWS));
        index->train(static_cast<long>(sample.size()),
                     joint_rows(d, sample.data(), sample.size()).data());
    }
    for (size_t at = 0; at < ids.size(); at += BLOCK) {
        const size_t n = std::min(BLOCK, ids.size() - at);

        index->add(static_cast<long>(n), joint_rows(d, &ids[at], n).data());
    }
    omp_set_num_threads(1);
    return index;
}

// From the folder of kept indices, where it has it; else made, and kept there. *make_s: what making
// took; 0 of one that was there.
std::unique_ptr<faiss::Index> kept_index(const std::string &kind, const data &d, int label,
                                         const std::vector<uint32_t> &ids, double *make_s)
{
    const std::string path = d.keep + "/" + kind + "-" + std::to_string(d.n) + "-" +
                             std::to_string(d.dim) + "-" + std::to_string(label);
    const bool keeps = !d.keep.empty() && kind != "flat";
    const double start = now();

    *make_s = 0;
    if (keeps && access(path.c_str(), R_OK) == 0)
        return std::unique_ptr<faiss::Index>(faiss::read_index(path.c_str()));
    auto index = make_index(kind, d, ids);
    *make_s = now() - start;
    if (keeps) {
        const std::string aside = path + ".new";

        faiss::write_index(index.get(), aside.c_str());
        if (rename(aside.c_str(), path.c_str()))
            perror(path.c_str());
    }
    return index;
}

// What a peer took over the requests, and the share of the definition's examples that it found.
struct found {
    double ms, recall;
};

// Of one label. For sq8, `setting` rows are scored once more by their own vectors.
found search_label(const faiss::Index &index, const data &d, const std::vector<uint32_t> &ids,
                   int label, const std::vector<request> &requests, size_t candidates, int setting)
{
    const bool again = dynamic_cast<const faiss::IndexScalarQuantizer *>(&index) != nullptr;
    const size_t rows_n = again ? static_cast<size_t>(setting) : K / 2;
    const size_t place = label ? 0 : K / 2; // positives come first
    std::vector<float> query(candidates * 2 * d.dim), scores(candidates * rows_n);
    std::vector<long> rows(candidates * rows_n);
    std::vector<double> ms;
    size_t hits = 0;

    for (const request &r : requests) {
        std::vector<std::vector<std::pair<float, uint32_t>>> got(candidates);
        const double at = now();

        for (size_t i = 0; i < candidates; i++) {
            memcpy(&query[i * 2 * d.dim], r.queries[i].history_vec, d.dim * sizeof(float));
            memcpy(&query[(i * 2 + 1) * d.dim], r.queries[i].target_vec, d.dim * sizeof(float));
        }
        index.search(static_cast<long>(candidates), query.data(), static_cast<long>(rows_n),
                     scores.data(), rows.data());
        for (size_t i = 0; i < candidates * rows_n; i++) {
            const lcf_example_query &q = r.queries[i / rows_n];

            if (rows[i] < 0)
                continue;
            const uint32_t id = ids[static_cast<size_t>(rows[i])];
            const float score =
                again
                    ? 0.5f * lcf_example_dot(q.history_vec, &d.history_vec[id * d.dim], d.dim) +
                          0.5f * lcf_example_dot(q.target_vec, &d.items[d.item[id] * d.dim], d.dim)
                    : scores[i];
            got[i / rows_n].push_back({-score, id});
        }
        for (auto &list : got)
            std::partial_sort(list.begin(),
                              list.begin() + std::min<long>(K / 2, static_cast<long>(list.size())),
                              list.end());
        ms.push_back((now() - at) * 1e3);
        for (size_t i = 0; i < candidates; i++)
            for (size_t j = 0; j < K / 2 && j < got[i].size(); j++) {
                const uint32_t *exact = &r.exact[i * K + place];

                hits += std::count(exact, exact + K / 2, got[i][j].second) != 0;
            }
    }
    return {median(ms) * static_cast<double>(CANDIDATES) / static_cast<double>(candidates),
            static_cast<double>(hits) / static_cast<double>(requests.size() * candidates * K / 2)};
}

// One index per label, one after the other, so that only one is in memory; each at the first
// setting that finds enough. A request takes the time of both.
void measure_peer(const std::string &kind, const data &d, std::vector<request> requests)
{
    const size_t candidates = kind == "sq8" ? SQ8_CANDIDATES : CANDIDATES;
    double make_s = 0, memory = 0, ms = 0, recall = 0;
    int setting[2] = {};
    bool reached = true;

    requests.resize(kind == "hnsw" && d.n * d.dim <= 100000 * 256 ? 8 : 3);
    for (int label = 0; label < 2; label++) {
        const std::vector<uint32_t> ids = of_label(d, label);
        const double before = resident_mib();
        double seconds;
        auto index = kept_index(kind, d, label, ids, &seconds);
        found f = {};
        double took = 0;

        make_s += seconds;
        memory += resident_mib() - before;
        for (int s = kind == "hnsw" ? 16 : kind == "sq8" ? 2 : 1; s <= 4096; s *= 2) {
            if (auto *hnsw = dynamic_cast<faiss::IndexHNSWFlat *>(index.get()))
                hnsw->hnsw.efSearch = s;
            if (auto *ivf = dynamic_cast<faiss::IndexIVFFlat *>(index.get()))
                ivf->nprobe = static_cast<size_t>(s);
            const double begin = now();
            f = search_label(*index, d, ids, label, requests, candidates, s);
            took += now() - begin;
            setting[label] = s;
            fprintf(stderr, "%s, label %d, at %d: recall %.4f, %.1f ms\n", kind.c_str(), label, s,
                    f.recall, f.ms);
            if (f.recall >= RECALL || kind == "flat" || 3 * took > PEER_S) // the next takes twice
                break;
        }
        ms += f.ms;
        recall += f.recall / 2;
        reached &= f.recall >= RECALL;
    }
    if (make_s > 0)
        print(kind + "_make", d.n, d.dim, make_s, "s");
    print(kind + "_memory", d.n, d.dim, memory, "MiB");
    print(kind + "_candidates", d.n, d.dim, static_cast<double>(candidates), "asked of 500");
    print(kind + "_setting", d.n, d.dim, std::max(setting[0], setting[1]),
          "efSearch or nprobe or rows");
    print(kind + "_recall", d.n, d.dim, recall, reached ? "share" : "share; .99 not reached");
    print(kind + "_request", d.n, d.dim, ms, "ms");
}

// Made by `llmcf index --kind`; where it is kept already only opened.
void make_kind(const std::string &dir, const std::string &name, data &d)
{
    const std::string prefix = "index_" + name;
    const std::vector<float> cot(d.n, 0.0f);
    lcf_examples_recall recall;
    lcf_faiss_kind kind;
    lcf_err err = LCF_ERR_INIT;
    size_t grown;
    const double start = now();

    if (access((dir + "/examples.lcf").c_str(), R_OK) == 0)
        return;
    check(lcf_faiss_kind_parse(&kind, name.c_str(), &err), err);
    check(lcf_dir_remove(dir.c_str(), &err), err);
    check(lcf_dir_create(dir.c_str(), &err), err);
    d.examples.cot_dim = 1;
    d.examples.cot_vec = cot.data();
    check(lcf_examples_save_kind(&recall, &grown, dir.c_str(), &d.examples, kind, nullptr, &err),
          err);
    d.examples.cot_vec = nullptr;
    print(prefix + "_make", d.n, d.dim, now() - start, "s");
    print(prefix + "_setting", d.n, d.dim, recall.setting, "beam or cells or rows");
    print(prefix + "_rows_recall", d.n, d.dim, recall.recall, "share");
    print(prefix + "_row", d.n, d.dim, recall.query_us, "us");
}

std::string kind_dir(const std::string &name, const data &d)
{
    return d.keep.empty() ? "bench_retrieval.dir"
                          : d.keep + "/index-" + name + "-" + std::to_string(d.n) + "-" +
                                std::to_string(d.dim);
}

// What lcf_examples_search finds through it.
void measure_index(const std::string &name, data &d, const std::vector<request> &requests)
{
    const std::string prefix = "index_" + name, dir = kind_dir(name, d);
    lcf_example_options options = LCF_EXAMPLE_OPTIONS_INIT;
    lcf_examples e;
    lcf_err err = LCF_ERR_INIT;
    const size_t candidates = name == "sq8" ? SQ8_CANDIDATES : CANDIDATES;
    std::vector<uint32_t> got(candidates * K);
    std::vector<double> ms;
    size_t found = 0;
    double start;

    make_kind(dir, name, d);
    start = resident_mib();
    check(lcf_examples_open(&e, dir.c_str(), &err), err);
    print(prefix + "_memory", d.n, d.dim, resident_mib() - start, "MiB");
    for (size_t i = 0; i < 3; i++) {
        const request &r = requests[i];

        start = now();
        check(lcf_examples_search(got.data(), nullptr, &e, r.queries.data(), candidates, &options,
                                  &err),
              err);
        ms.push_back((now() - start) * 1e3 * CANDIDATES / static_cast<double>(candidates));
        for (size_t j = 0; j < got.size(); j++)
            found += std::count(&got[j / K * K], &got[j / K * K] + K, r.exact[j]) != 0;
    }
    print(prefix + "_recall", d.n, d.dim,
          static_cast<double>(found) / static_cast<double>(ms.size() * got.size()), "share");
    print(prefix + "_request", d.n, d.dim, median(ms), "ms");
    lcf_examples_close(&e);
    if (d.keep.empty())
        check(lcf_dir_remove(dir.c_str(), &err), err);
}

} // namespace

int main(int argc, char **argv)
{
    data d = {};
    std::vector<std::string> kinds;
    std::vector<request> requests;
    bool measures = false, rows = false;

    lcf_cli_start(argc, argv);
    d.n = argc > 1 ? strtoul(argv[1], nullptr, 10) : 100000;
    d.dim = argc > 2 ? strtoul(argv[2], nullptr, 10) : 256;
    for (int i = 3; i < argc; i++)
        if (std::string(argv[i]).rfind("keep=", 0) == 0)
            d.keep = argv[i] + 5;
        else
            kinds.push_back(argv[i]);
    if (kinds.empty())
        kinds = {"flat", "ivf", "hnsw", "sq8"};
    if (d.n < 100 || !d.dim) {
        fprintf(stderr, "usage: bench_retrieval [EXAMPLES [DIM "
                        "[flat|ivf|hnsw|sq8|index-KIND|make-KIND|make-index-KIND ...] "
                        "[keep=DIR]]]\n");
        return 2;
    }
    for (const std::string &kind : kinds) {
        measures |= kind.rfind("make-", 0) != 0;
        rows |= kind.find("index-") != std::string::npos;
    }
    make_items(d);
    make_examples(d, measures || rows);
    if (measures) {
        requests = make_requests(d);
        measure_ours(d, requests);
    }
    if (!rows)
        std::vector<float>().swap(d.target_vec); // the peers go by items
    for (const std::string &kind : kinds)
        if (kind.rfind("index-", 0) == 0)
            measure_index(kind.substr(6), d, requests);
        else if (kind.rfind("make-index-", 0) == 0)
            make_kind(kind_dir(kind.substr(11), d), kind.substr(11), d);
        else if (kind.rfind("make-", 0) == 0)
            for (int label = 0; label < 2; label++) {
                double seconds;

                kept_index(kind.substr(5), d, label, of_label(d, label), &seconds);
            }
        else if (kind != "none")
            measure_peer(kind, d, requests);
    return 0;
}

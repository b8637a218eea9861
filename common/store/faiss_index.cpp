// The indices in FAISS. Invariant: no exception leaves this file, and no OpenMP team is opened.
#include "common/store/faiss_index.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <faiss/invlists/InvertedLists.h>
#include <faiss/invlists/OnDiskInvertedLists.h>
#include <faiss/utils/distances.h>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

// Of libgomp; omp.h is not there for every compiler.
extern "C" void omp_set_num_threads(int);
extern "C" int omp_get_max_threads(void);

// Debian's FAISS sums one product after the other, and in an order of its own. The linker gives its
// calls to this instead (--wrap): the definition's sum, which is many times faster.
extern "C" float lcf_example_dot(const float *a, const float *b, size_t n);
extern "C" float __wrap__ZN5faiss18fvec_inner_productEPKfS1_m(const float *a, const float *b,
                                                              size_t n)
{
    // The rows of a mapped file lie at any byte.
    if (reinterpret_cast<uintptr_t>(b) % alignof(float)) {
        static thread_local std::vector<float> row;

        row.resize(n);
        std::memcpy(row.data(), reinterpret_cast<const char *>(b), n * sizeof(float));
        b = row.data();
    }
    return lcf_example_dot(a, b, n);
}

// One OpenMP thread for the calling thread while FAISS works, then its own setting again.
struct single_thread {
    int threads = omp_get_max_threads();
    single_thread()
    {
        omp_set_num_threads(1);
    }
    ~single_thread()
    {
        omp_set_num_threads(threads);
    }
};

struct lcf_faiss {
    std::unique_ptr<faiss::Index> index;
    const faiss::IndexFlatIP *flat = nullptr; // the same, where it is one
};

constexpr int LINKS = 32, BEAM = 80;     // of HNSW: a row's neighbours; what building looks at
constexpr int64_t ROWS_PER_CELL_MIN = 1; // FAISS would complain on stderr below 39

// FAISS uses BLAS from 20 queries on and scalar loops below, which are slower in Debian's build
// from the first query on; and its buffer for 4,096 queries is more than a block of ours needs.
static void configure_once()
{
    static std::once_flag flag;

    std::call_once(flag, [] {
        faiss::distance_compute_blas_threshold = 1;
        faiss::distance_compute_blas_query_bs = 256;
    });
}

template <typename Body> static lcf_status guarded(lcf_err *err, Body body)
{
    single_thread alone;

    try {
        configure_once();
        return body();
    } catch (const std::bad_alloc &) {
        return LCF_FAIL(err, LCF_ENOMEM, "FAISS index");
    } catch (const std::exception &e) {
        return LCF_FAIL(err, LCF_EFORMAT, "FAISS: %s", e.what());
    } catch (...) {
        return LCF_FAIL(err, LCF_EFORMAT, "FAISS: unknown exception");
    }
}

static std::unique_ptr<faiss::Index> make(lcf_faiss_kind kind, size_t n, int dim)
{
    constexpr auto metric = faiss::METRIC_INNER_PRODUCT;

    if (kind == LCF_FAISS_HNSW && n >= LCF_FAISS_ROWS_MIN) {
        auto index = std::make_unique<faiss::IndexHNSWFlat>(dim, LINKS, metric);
        index->hnsw.efConstruction = BEAM;
        return index;
    }
    if (kind == LCF_FAISS_IVF && n >= LCF_FAISS_ROWS_MIN) {
        const auto cells = static_cast<size_t>(2 * std::sqrt(static_cast<double>(n)));
        auto index = std::make_unique<faiss::IndexIVFFlat>(new faiss::IndexFlatIP(dim),
                                                           static_cast<size_t>(dim), cells, metric);
        index->own_fields = true;
        index->cp.min_points_per_centroid = ROWS_PER_CELL_MIN;
        return index;
    }
    if (kind == LCF_FAISS_SQ8 && n >= LCF_FAISS_ROWS_MIN)
        return std::make_unique<faiss::IndexScalarQuantizer>(dim, faiss::ScalarQuantizer::QT_8bit,
                                                             metric);
    return std::make_unique<faiss::IndexFlatIP>(dim);
}

static lcf_faiss *wrapped(std::unique_ptr<faiss::Index> index)
{
    auto out = std::make_unique<lcf_faiss>();

    out->flat = dynamic_cast<const faiss::IndexFlatIP *>(index.get());
    out->index = std::move(index);
    return out.release();
}

lcf_status lcf_faiss_create(lcf_faiss **out, lcf_faiss_kind kind, const float *rows, size_t n,
                            size_t dim, lcf_err *err)
{
    *out = nullptr;
    return guarded(err, [&] {
        auto index = make(kind, n, static_cast<int>(dim));
        if (n) {
            index->train(static_cast<int64_t>(n), rows);
            index->add(static_cast<int64_t>(n), rows);
        }
        *out = wrapped(std::move(index));
        return LCF_OK;
    });
}

void lcf_faiss_free(lcf_faiss *index)
{
    delete index;
}

lcf_status lcf_faiss_serialize(uint8_t **out, size_t *out_bytes, const lcf_faiss *index,
                               lcf_err *err)
{
    *out = nullptr;
    return guarded(err, [&] {
        faiss::VectorIOWriter writer;
        faiss::write_index(index->index.get(), &writer);
        auto *bytes = static_cast<uint8_t *>(std::malloc(writer.data.size()));
        if (!bytes)
            throw std::bad_alloc();
        std::memcpy(bytes, writer.data.data(), writer.data.size());
        *out = bytes;
        *out_bytes = writer.data.size();
        return LCF_OK;
    });
}

// Whether what was read is what `make` makes.
static bool is_kind(const faiss::Index &index, lcf_faiss_kind kind, size_t n, size_t dim)
{
    if (index.d != static_cast<int>(dim) || index.ntotal != static_cast<int64_t>(n) ||
        index.metric_type != faiss::METRIC_INNER_PRODUCT)
        return false;
    if (const auto *flat = dynamic_cast<const faiss::IndexFlatIP *>(&index))
        return (kind == LCF_FAISS_FLAT || n < LCF_FAISS_ROWS_MIN) &&
               flat->codes.size() == n * dim * sizeof(float);
    return (kind == LCF_FAISS_HNSW && dynamic_cast<const faiss::IndexHNSWFlat *>(&index)) ||
           (kind == LCF_FAISS_IVF && dynamic_cast<const faiss::IndexIVFFlat *>(&index)) ||
           (kind == LCF_FAISS_SQ8 && dynamic_cast<const faiss::IndexScalarQuantizer *>(&index));
}

static std::unique_ptr<faiss::Index> read(lcf_faiss_kind kind, const char *path, size_t n,
                                          size_t dim, int flags)
{
    std::unique_ptr<faiss::Index> index(faiss::read_index(path, flags));

    if (!is_kind(*index, kind, n, dim))
        index.reset();
    return index;
}

static lcf_status other_kind(const char *path, size_t n, size_t dim, lcf_err *err)
{
    return LCF_FAIL(err, LCF_EFORMAT, "%s: no index of %zu rows x %zu of that kind", path, n, dim);
}

lcf_status lcf_faiss_load(lcf_faiss **out, lcf_faiss_kind kind, const char *path, size_t n,
                          size_t dim, lcf_err *err)
{
    *out = nullptr;
    return guarded(err, [&] {
        const int flags =
            kind == LCF_FAISS_IVF ? faiss::IO_FLAG_MMAP | faiss::IO_FLAG_READ_ONLY : 0;
        auto index = read(kind, path, n, dim, flags);

        if (!index)
            return other_kind(path, n, dim, err);
        if (auto *ivf = dynamic_cast<faiss::IndexIVF *>(index.get()))
            if (auto *lists = dynamic_cast<faiss::OnDiskInvertedLists *>(ivf->invlists))
                lists->prefetch_nthread = 0; // else 32 threads are started for every search
        *out = wrapped(std::move(index));
        return LCF_OK;
    });
}

bool lcf_faiss_can_remove(lcf_faiss_kind kind)
{
    return kind != LCF_FAISS_HNSW;
}

// The rows of a list keep the numbers that they had: each goes down by those gone before it.
static void close_up(faiss::IndexIVF &ivf, const std::vector<int64_t> &gone)
{
    auto &lists = dynamic_cast<faiss::ArrayInvertedLists &>(*ivf.invlists);

    for (auto &ids : lists.ids)
        for (auto &id : ids)
            id -= std::lower_bound(gone.begin(), gone.end(), id) - gone.begin();
}

static void remove(faiss::Index &index, const uint32_t *gone, size_t gone_n)
{
    const std::vector<int64_t> ids(gone, gone + gone_n);

    index.remove_ids(faiss::IDSelectorBatch(ids.size(), ids.data()));
    if (auto *ivf = dynamic_cast<faiss::IndexIVF *>(&index))
        close_up(*ivf, ids);
}

lcf_status lcf_faiss_grow(lcf_faiss **out, lcf_faiss_kind kind, const char *path, size_t n_before,
                          const uint32_t *gone, size_t gone_n, const float *rows, size_t n,
                          size_t dim, lcf_err *err)
{
    *out = nullptr;
    return guarded(err, [&] {
        auto index = read(kind, path, n_before, dim, 0);

        if (!index)
            return other_kind(path, n_before, dim, err);
        if (auto *hnsw = dynamic_cast<faiss::IndexHNSWFlat *>(index.get()))
            hnsw->hnsw.efConstruction = BEAM;
        if (gone_n)
            remove(*index, gone, gone_n);
        if (n)
            index->add(static_cast<int64_t>(n), rows);
        *out = wrapped(std::move(index));
        return LCF_OK;
    });
}

void lcf_faiss_set(lcf_faiss *index, size_t setting)
{
    // The beam is the index's own: FAISS 1.7.3 does not look at that of a call.
    if (auto *hnsw = dynamic_cast<faiss::IndexHNSWFlat *>(index->index.get()))
        hnsw->hnsw.efSearch = static_cast<int>(setting);
    if (auto *ivf = dynamic_cast<faiss::IndexIVF *>(index->index.get()))
        ivf->nprobe = std::min(setting, ivf->nlist);
}

lcf_status lcf_faiss_search(int64_t *rows, float *scores, const lcf_faiss *index,
                            const float *queries, size_t n, size_t k, size_t prefix, lcf_err *err)
{
    return guarded(err, [&] {
        // A range selector shortens the matrix before the product: rows behind it cost nothing.
        faiss::IDSelectorRange range(0, static_cast<int64_t>(prefix), true);
        faiss::SearchParameters parameters;
        parameters.sel = &range;
        index->index->search(static_cast<int64_t>(n), queries, static_cast<int64_t>(k), scores,
                             rows, index->flat ? &parameters : nullptr);
        return LCF_OK;
    });
}

// The flat index in FAISS. Invariant: no exception leaves this file, and no OpenMP team is opened.
#include "common/store/faiss_index.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <faiss/IndexFlat.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <faiss/utils/distances.h>
#include <memory>
#include <mutex>
#include <new>

// Of libgomp; omp.h is not there for every compiler.
extern "C" void omp_set_num_threads(int);
extern "C" int omp_get_max_threads(void);

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
    std::unique_ptr<faiss::IndexFlatIP> flat;
};

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

lcf_status lcf_faiss_create(lcf_faiss **out, const float *rows, size_t n, size_t dim, lcf_err *err)
{
    *out = nullptr;
    return guarded(err, [&] {
        auto index = std::make_unique<lcf_faiss>();
        index->flat = std::make_unique<faiss::IndexFlatIP>(static_cast<int64_t>(dim));
        if (n)
            index->flat->add(static_cast<int64_t>(n), rows);
        *out = index.release();
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
        faiss::write_index(index->flat.get(), &writer);
        auto *bytes = static_cast<uint8_t *>(std::malloc(writer.data.size()));
        if (!bytes)
            throw std::bad_alloc();
        std::memcpy(bytes, writer.data.data(), writer.data.size());
        *out = bytes;
        *out_bytes = writer.data.size();
        return LCF_OK;
    });
}

lcf_status lcf_faiss_load(lcf_faiss **out, const uint8_t *bytes, size_t bytes_n, size_t n,
                          size_t dim, lcf_err *err)
{
    *out = nullptr;
    return guarded(err, [&] {
        faiss::VectorIOReader reader;
        reader.data.assign(bytes, bytes + bytes_n);
        std::unique_ptr<faiss::Index> read(faiss::read_index(&reader));
        auto *flat = dynamic_cast<faiss::IndexFlatIP *>(read.get());
        if (!flat || flat->d != static_cast<int>(dim) || flat->ntotal != static_cast<int64_t>(n) ||
            flat->codes.size() != n * dim * sizeof(float))
            return LCF_FAIL(err, LCF_EFORMAT, "no flat index of %zu rows x %zu", n, dim);
        auto index = std::make_unique<lcf_faiss>();
        read.release();
        index->flat.reset(flat);
        *out = index.release();
        return LCF_OK;
    });
}

const float *lcf_faiss_rows(const lcf_faiss *index)
{
    return static_cast<const faiss::IndexFlatIP &>(*index->flat).get_xb();
}

lcf_status lcf_faiss_search(int64_t *rows, float *scores, const lcf_faiss *index,
                            const float *queries, size_t n, size_t k, size_t prefix, lcf_err *err)
{
    return guarded(err, [&] {
        // A range selector shortens the matrix before the product: rows behind it cost nothing.
        faiss::IDSelectorRange range(0, static_cast<int64_t>(prefix), true);
        faiss::SearchParameters parameters;
        parameters.sel = &range;
        index->flat->search(static_cast<int64_t>(n), queries, static_cast<int64_t>(k), scores, rows,
                            &parameters);
        return LCF_OK;
    });
}

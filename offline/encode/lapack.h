/*
 * The LAPACK routines used here, as Fortran exports them. Matrices are column-major; a row-major
 * [n, m] matrix is the column-major m x n one. The sizes at the end are the lengths of the strings.
 */
#ifndef LCF_OFFLINE_ENCODE_LAPACK_H
#define LCF_OFFLINE_ENCODE_LAPACK_H

#include <stddef.h>

/* LQ factorisation of a [m, n], and the first k rows of its Q in place. */
void sgelqf_(const int *m, const int *n, float *a, const int *lda, float *tau, float *work,
             const int *lwork, int *info);
void sorglq_(const int *m, const int *n, const int *k, float *a, const int *lda, const float *tau,
             float *work, const int *lwork, int *info);
/* Eigenvalues (ascending) and eigenvectors (in place, by column) of a symmetric matrix. */
void dsyev_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
            double *work, const int *lwork, int *info, size_t jobz_bytes, size_t uplo_bytes);

#endif

/* Address, key and failures of a remote endpoint; see the header. */
#include "offline/recgen/endpoint.h"

#include "common/base/file.h"
#include "common/base/mem.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES_MAX 4096
#define BACKOFF_S_MAX 60.0
#define KEY_VARIABLE "LLMCF_API_KEY"

/* ---- the address ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && !strcmp(text + n - m, end);
}

/* The path to post to, from the path of the base. */
static lcf_status full_path(char **out, const char *base, lcf_openai_api api, lcf_err *err)
{
    const char *own = lcf_openai_path(api);
    lcf_buf path = LCF_BUF_INIT;
    size_t n = strlen(base);

    while (n && base[n - 1] == '/')
        n--;
    lcf_buf_append(&path, base, n);
    if (!n)
        lcf_buf_append_text(&path, "/v1");
    /* "/completions" alone ends the path of the chat API, too. */
    if (!ends_with(lcf_buf_text(&path), own) ||
        (api == LCF_OPENAI_COMPLETIONS && ends_with(lcf_buf_text(&path), "/chat/completions")))
        lcf_buf_append_text(&path, own);
    *out = lcf_buf_take(&path);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "path of the endpoint");
}

static lcf_status check_parts(CURLU *u, lcf_err *err)
{
    char *user = NULL, *password = NULL, *scheme = NULL;
    lcf_status status = LCF_OK;

    curl_url_get(u, CURLUPART_USER, &user, 0);
    curl_url_get(u, CURLUPART_PASSWORD, &password, 0);
    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
    if (user || password)
        status = LCF_FAIL(err, LCF_EUSAGE,
                          "the endpoint's URL holds a user or password; give the key by "
                          "--api-key-file or " KEY_VARIABLE);
    else if (!scheme || (strcmp(scheme, "http") && strcmp(scheme, "https")))
        status = LCF_FAIL(err, LCF_EUSAGE, "the endpoint must be an http:// or https:// URL");
    curl_free(user);
    curl_free(password);
    curl_free(scheme);
    return status;
}

lcf_status lcf_endpoint_address(char **out, const char *url, lcf_openai_api api, lcf_err *err)
{
    CURLU *u = curl_url();
    char *base = NULL, *path = NULL, *full = NULL;
    lcf_status status;

    *out = NULL;
    if (!u)
        return LCF_FAIL(err, LCF_ENOMEM, "URL");
    if (curl_url_set(u, CURLUPART_URL, url, 0)) {
        status =
            LCF_FAIL(err, LCF_EUSAGE, "the endpoint is not a URL such as http://localhost:8000/v1");
        goto done;
    }
    status = check_parts(u, err);
    if (!status && curl_url_get(u, CURLUPART_PATH, &base, 0))
        status = LCF_FAIL(err, LCF_ENOMEM, "path of the endpoint");
    if (!status)
        status = full_path(&path, base, api, err);
    if (!status &&
        (curl_url_set(u, CURLUPART_PATH, path, 0) || curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) ||
         curl_url_get(u, CURLUPART_URL, &full, 0)))
        status = LCF_FAIL(err, LCF_ENOMEM, "URL of the endpoint");
    if (!status && !(*out = lcf_strdup(full)))
        status = LCF_FAIL(err, LCF_ENOMEM, "URL of the endpoint");
done:
    curl_free(base);
    curl_free(full);
    free(path);
    curl_url_cleanup(u);
    return status;
}

/* ---- the key ---- */

static lcf_status check_key(const char *key, const char *from, lcf_err *err)
{
    if (!*key)
        return LCF_FAIL(err, LCF_EUSAGE, "%s: the API key is empty", from);
    for (const char *c = key; *c; c++)
        if (*c <= ' ' || *c > '~')
            return LCF_FAIL(err, LCF_EUSAGE,
                            "%s: the API key holds a character that no HTTP header may have", from);
    return LCF_OK;
}

static lcf_status read_key(char **out, const char *file, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status = lcf_file_read(&text, file, KEY_BYTES_MAX, err);
    size_t n = 0;

    while (!status && n < text.len && text.data[n] != '\n' && text.data[n] != '\r')
        n++;
    if (!status && !(*out = lcf_strndup(lcf_buf_text(&text), n)))
        status = LCF_FAIL(err, LCF_ENOMEM, "API key");
    if (text.data)
        explicit_bzero(text.data, text.len);
    lcf_buf_dispose(&text);
    return status;
}

lcf_status lcf_endpoint_key(char **out, const char *file, lcf_err *err)
{
    const char *value = getenv(KEY_VARIABLE);
    lcf_status status = LCF_OK;

    *out = NULL;
    if (file)
        status = read_key(out, file, err);
    else if (value && !(*out = lcf_strdup(value)))
        status = LCF_FAIL(err, LCF_ENOMEM, "API key");
    if (!status && *out)
        status = check_key(*out, file ? file : KEY_VARIABLE, err);
    if (status) {
        lcf_endpoint_key_free(*out);
        *out = NULL;
    }
    return status;
}

void lcf_endpoint_key_free(char *key)
{
    if (key)
        explicit_bzero(key, strlen(key));
    free(key);
}

/* ---- failures ---- */

lcf_verdict lcf_endpoint_verdict(long http_status)
{
    if (http_status == 200)
        return LCF_VERDICT_ANSWERED;
    switch (http_status) {
    case 408: /* timeout */
    case 409: /* conflict */
    case 425: /* too early */
    case 429: /* too many requests */
        return LCF_VERDICT_AGAIN;
    case 400:
    case 413: /* too large */
    case 422: /* not to be processed */
        return LCF_VERDICT_REFUSED;
    case 501: /* not implemented */
    case 505: /* HTTP version */
        return LCF_VERDICT_GIVE_UP;
    default:
        return http_status >= 500 ? LCF_VERDICT_AGAIN : LCF_VERDICT_GIVE_UP;
    }
}

double lcf_endpoint_backoff_s(size_t failures, double first_s, lcf_rng *rng)
{
    double wait_s = first_s;

    for (size_t i = 1; i < failures && wait_s < BACKOFF_S_MAX; i++)
        wait_s *= 2.0;
    if (wait_s > BACKOFF_S_MAX)
        wait_s = BACKOFF_S_MAX;
    return wait_s * (0.5 + 0.5 * lcf_rng_f64(rng));
}

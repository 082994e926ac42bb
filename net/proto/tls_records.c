/* tls_records: the one file that reaches into Mbed TLS's context for its record buffers. */
#include "net/proto/tls_inside.h"

#include "board/rt/mem.h"

#include <mbedtls/ssl.h>
#include <stdlib.h>
#include <string.h>

static void record_pointers(mbedtls_ssl_context *ssl, unsigned char **list[TLS_RECORD_POINTERS])
{
    unsigned char **all[TLS_RECORD_POINTERS] = {&ssl->in_ctr,  &ssl->in_hdr,  &ssl->in_len,  &ssl->in_iv,  &ssl->in_msg,
                                                &ssl->out_ctr, &ssl->out_hdr, &ssl->out_len, &ssl->out_iv, &ssl->out_msg};
    memcpy(list, all, sizeof all);
}

/* Between records nothing in them is needed but where the pointers stood and the incoming record counter, the first 8 bytes. */
void tls_records_give_back(struct tls_records *r, void *context)
{
    mbedtls_ssl_context *ssl = context;
    if (ssl->in_left || ssl->out_left || !ssl->in_buf || !ssl->out_buf)
        return;
    unsigned char **list[TLS_RECORD_POINTERS];
    record_pointers(ssl, list);
    for (size_t i = 0; i < TLS_RECORD_POINTERS; i++) {
        r->offsets[i] = (size_t)(*list[i] - (i < TLS_RECORD_POINTERS / 2 ? ssl->in_buf : ssl->out_buf));
        *list[i] = NULL;
    }
    memcpy(r->in_counter, ssl->in_buf, sizeof r->in_counter);
    wipe(ssl->in_buf, ssl->in_buf_len);
    wipe(ssl->out_buf, ssl->out_buf_len);
    free(ssl->in_buf);
    free(ssl->out_buf);
    ssl->in_buf = ssl->out_buf = NULL;
}

err tls_records_take_back(const struct tls_records *r, void *context)
{
    mbedtls_ssl_context *ssl = context;
    if (ssl->in_buf)
        return OK;
    uint8_t *in = calloc(1, ssl->in_buf_len), *out = calloc(1, ssl->out_buf_len);
    if (!in || !out) {
        free(in);
        free(out);
        return E_BUDGET;
    }
    memcpy(in, r->in_counter, sizeof r->in_counter);
    ssl->in_buf = in;
    ssl->out_buf = out;
    unsigned char **list[TLS_RECORD_POINTERS];
    record_pointers(ssl, list);
    for (size_t i = 0; i < TLS_RECORD_POINTERS; i++)
        *list[i] = (i < TLS_RECORD_POINTERS / 2 ? in : out) + r->offsets[i];
    return OK;
}

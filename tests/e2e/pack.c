/* pack: net/format/zstd and net/format/age as filters, for tests to compare with the real tools.
 *
 *   pack compress [--level N] [--window LOG] | decompress [--window LOG] | encrypt -r RECIPIENT... | decrypt -i FILE...   < IN >
 * OUT
 *
 * --in BYTES, --out BYTES: the spans (65536 each); --rate: MB/s and the heap's peak on stderr. Exit 0 good, 1 refused: "pack:
 * CODE words" on stderr, 2 usage, 3 cannot tell. */
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/format/age.h"
#include "net/format/zstd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPAN_MAX MIB(1)

typedef err stage(void *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done);

static struct {
    const char *mode;
    int level;
    unsigned window_log;
    size_t in_span, out_span;
    bool rate;
    struct age_recipient recipients[AGE_RECIPIENTS_MAX];
    struct age_identity identities[AGE_IDENTITIES_MAX];
    unsigned recipient_count, identity_count;
} want = {.level = 1, .window_log = 19, .in_span = KIB(64), .out_span = KIB(64)};

static err compress_some(void *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return zstd_encode(z, in, out, cap, made, end, done);
}

static err decompress_some(void *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return zstd_decode(z, in, out, cap, made, end, done);
}

static err encrypt_some(void *a, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return age_encode(a, in, out, cap, made, end, done);
}

static err decrypt_some(void *a, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return age_decode(a, in, out, cap, made, end, done);
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint8_t in_storage[SPAN_MAX], out_storage[SPAN_MAX];
static uint64_t in_total, out_total;
static double spent;

/* One span of input: all of it is used, or the stage is done, or there is an error. */
static err run_span(stage *some, void *z, struct bytes in, bool end, bool *done)
{
    do {
        size_t made = 0;
        double begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);
        err e = some(z, &in, out_storage, want.out_span, &made, end, done);
        spent += seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin;
        if (fwrite(out_storage, 1, made, stdout) != made)
            return trail(E_IO, "writing");
        out_total += made;
        TRY(e);
        if (in.len == 0 && made < want.out_span && !end)
            return OK;
    } while (!*done);
    return OK;
}

static err run_all(stage *some, void *z)
{
    bool done = false, end = false;
    while (!end) {
        size_t n = fread(in_storage, 1, want.in_span, stdin);
        in_total += n;
        end = n < want.in_span;
        if (ferror(stdin))
            return trail(E_IO, "reading");
        TRY(run_span(some, z, (struct bytes){in_storage, n}, end, &done));
    }
    return fflush(stdout) == 0 && done ? OK : trail(E_IO, "writing");
}

static err run_mode(void)
{
    err e = E_USAGE;
    if (strcmp(want.mode, "compress") == 0) {
        struct zstd_encoder *z = NULL;
        e = zstd_encoder_open(want.level, want.window_log, &z);
        e = e == OK ? run_all(compress_some, z) : e;
        zstd_encoder_close(z);
    } else if (strcmp(want.mode, "decompress") == 0) {
        struct zstd_decoder *z = NULL;
        e = zstd_decoder_open(want.window_log, &z);
        e = e == OK ? run_all(decompress_some, z) : e;
        zstd_decoder_close(z);
    } else if (strcmp(want.mode, "encrypt") == 0 && want.recipient_count > 0) {
        struct age_encoder *a = NULL;
        e = age_encoder_open(want.recipients, want.recipient_count, &a);
        e = e == OK ? run_all(encrypt_some, a) : e;
        age_encoder_close(a);
    } else if (strcmp(want.mode, "decrypt") == 0 && want.identity_count > 0) {
        struct age_decoder *a = NULL;
        e = age_decoder_open(want.identities, want.identity_count, &a);
        e = e == OK ? run_all(decrypt_some, a) : e;
        age_decoder_close(a);
    }
    return e;
}

static err recipient_add(const char *text)
{
    if (want.recipient_count == AGE_RECIPIENTS_MAX)
        return trail(E_RANGE, "more than %u recipients", AGE_RECIPIENTS_MAX);
    return age_recipient_parse(bytes_of(text), &want.recipients[want.recipient_count++]);
}

static err identities_add(const char *path)
{
    static uint8_t text[KIB(64)];
    unsigned count = 0;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return trail(E_ABSENT, "%s", path);
    size_t len = fread(text, 1, sizeof text, f);
    (void)fclose(f);
    err e = age_identities_parse((struct bytes){text, len}, want.identities + want.identity_count,
                                 AGE_IDENTITIES_MAX - want.identity_count, &count);
    want.identity_count += count;
    return e == OK ? OK : trail(e, "%s", path);
}

static err option_read(const char *name, const char *value)
{
    if (strcmp(name, "-r") == 0)
        return recipient_add(value);
    if (strcmp(name, "-i") == 0)
        return identities_add(value);
    unsigned long long number = strtoull(value, NULL, 10);
    if (strcmp(name, "--level") == 0)
        want.level = (int)number;
    else if (strcmp(name, "--window") == 0)
        want.window_log = (unsigned)number;
    else if (strcmp(name, "--in") == 0 && number > 0 && number <= SPAN_MAX)
        want.in_span = (size_t)number;
    else if (strcmp(name, "--out") == 0 && number > 0 && number <= SPAN_MAX)
        want.out_span = (size_t)number;
    else
        return trail(E_USAGE, "%s", name);
    return OK;
}

static err options_read(int count, char **at)
{
    if (count < 1)
        return trail(E_USAGE, "no mode");
    want.mode = at[0];
    for (int i = 1; i < count; i++) {
        if (strcmp(at[i], "--rate") == 0)
            want.rate = true;
        else if (i + 1 == count)
            return trail(E_USAGE, "%s", at[i]);
        else {
            TRY(option_read(at[i], at[i + 1]));
            i++;
        }
    }
    return OK;
}

int main(int argc, char **argv)
{
    char text[512];
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 3;
    mem_set_task(TASK_BACKUP);
    err e = options_read(argc - 1, argv + 1);
    size_t used = mem_use(TASK_BACKUP).used_bytes;
    mem_peak_reset(TASK_BACKUP);
    if (e == OK)
        e = run_mode();
    if (want.rate)
        fprintf(stderr, "%s: %.0f MB/s of plain bytes, %zu KiB\n", want.mode,
                (double)(in_total > out_total && strcmp(want.mode, "decompress") != 0 ? in_total : out_total) / 1e6 / spent,
                (mem_use(TASK_BACKUP).peak_bytes - used) / 1024);
    if (e == OK)
        return 0;
    fprintf(stderr, "pack: %s %s\n", err_name(e), trail_text(e, text, sizeof text));
    return e == E_USAGE ? 2 : e == E_IO ? 3 : 1;
}

/* s3_text: dates as S3 writes them, and what is copied out of answers. */
#include "board/rt/os.h"
#include "net/api/s3/s3_internal.h"
#include "net/format/civil.h"
#include "net/format/hex.h"

#include <string.h>

/* Digits at `at`, or -1. */
static int number_at(const char *text, size_t at, size_t digits)
{
    int n = 0;
    for (size_t i = at; i < at + digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        n = n * 10 + (text[i] - '0');
    }
    return n;
}

static int64_t epoch_of(int year, int month, int day, const char *clock)
{
    int hour = number_at(clock, 0, 2), minute = number_at(clock, 3, 2), second = number_at(clock, 6, 2);
    second = second == 60 ? 59 : second; /* a leap second */
    if (year < 1970 || clock[2] != ':' || clock[5] != ':' || !civil_is_valid(year, month, day, hour, minute, second))
        return 0;
    return civil_days(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
}

int64_t s3_iso_date(const char *text)
{
    size_t len = strlen(text);
    if (len < sizeof "2009-10-12T17:50:30Z" - 1 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[len - 1] != 'Z')
        return 0;
    return epoch_of(number_at(text, 0, 4), number_at(text, 5, 2), number_at(text, 8, 2), text + 11);
}

bool s3_copy(char *out, size_t cap, struct bytes text)
{
    *out = 0;
    if (text.len >= cap || (text.len > 0 && memchr(text.at, 0, text.len)))
        return false;
    if (text.len > 0)
        memcpy(out, text.at, text.len);
    out[text.len] = 0;
    return true;
}

void s3_object_id(char out[S3_OBJECT_ID_MAX])
{
    uint8_t random[(S3_OBJECT_ID_MAX - 1) / 2];
    os_random(random, sizeof random);
    (void)hex_encode((struct bytes){random, sizeof random}, out, S3_OBJECT_ID_MAX);
}

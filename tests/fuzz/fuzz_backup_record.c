/* Any bytes as NAME.json: a record that is written and read back as itself, or told to be none. */
#include "agents/backup/backup_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char page[BACKUP_RECORD_JSON_MAX * 4];
    static struct backup_record first, again;
    err e = backup_record_parse((struct bytes){data, size}, &first);
    trail_clear();
    if (e != OK)
        return 0;
    struct text t = text_over(page, sizeof page);
    struct json_writer w = json_write_to(&t);
    backup_record_json(&w, &first);
    if (!json_done(&w) || backup_record_parse(bytes_of(page), &again) != OK)
        abort();
    if (again.taken_at_s != first.taken_at_s || again.verification.verdict != first.verification.verdict ||
        again.verification.bytes != first.verification.bytes || strcmp(again.name, first.name) != 0)
        abort();
    return 0;
}

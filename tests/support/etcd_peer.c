#include "tests/support/etcd_peer.h"

#include "net/format/pb.h"

#include <string.h>

#define BLOB_BYTES KIB(32) /* etcd's snapshotSendBufferSize */

uint8_t etcd_peer_byte(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 9) * 7 + 3);
}

static uint8_t byte_at(const struct etcd_peer *p, uint64_t at)
{
    return p->database ? p->database[at] : etcd_peer_byte(at);
}

static uint32_t blob_bytes(const struct etcd_peer *p)
{
    return p->blob_bytes ? p->blob_bytes : (uint32_t)BLOB_BYTES;
}

static uint32_t blobs(const struct etcd_peer *p)
{
    return (uint32_t)((p->db_bytes + blob_bytes(p) - 1) / blob_bytes(p));
}

static size_t snapshot_message(const struct etcd_peer *p, uint32_t index, uint8_t *out, size_t cap)
{
    static uint8_t blob[KIB(64)];
    uint64_t from = (uint64_t)index * blob_bytes(p);
    size_t len = index < blobs(p) ? (size_t)size_min(blob_bytes(p), (size_t)(p->db_bytes - from)) : 0;
    for (size_t i = 0; i < len; i++)
        blob[i] = (uint8_t)(byte_at(p, from + i) ^ (from + i + 1 == p->flip_at ? 1 : 0));
    struct pb_writer w = pb_write_over(out, cap);
    uint64_t rest = p->db_bytes > from + len ? p->db_bytes - from - len : 0;
    if (rest > 0)
        pb_put_u64(&w, 2, rest);
    if (len > 0)
        pb_put_bytes(&w, 3, (struct bytes){blob, len});
    else
        pb_put_bytes(&w, 3, (struct bytes){p->sha256, SHA256_BYTES});
    return w.len;
}

static size_t status_message(const struct etcd_peer *p, uint8_t *out, size_t cap)
{
    struct pb_writer w = pb_write_over(out, cap);
    size_t header = pb_begin(&w, 1);
    pb_put_u64(&w, 1, 0xC0FFEE);
    pb_put_u64(&w, 2, p->member_id ? p->member_id : 7);
    pb_put_i64(&w, 3, 42);
    pb_end(&w, header);
    pb_put_text(&w, 2, "3.5.21");
    pb_put_i64(&w, 3, (int64_t)(p->says_bytes ? p->says_bytes : p->db_bytes));
    pb_put_u64(&w, 4, p->leader_id == ETCD_PEER_NO_LEADER ? 0 : p->leader_id ? p->leader_id : 7);
    pb_put_u64(&w, 7, p->applied);
    if (p->error)
        pb_put_text(&w, 8, p->error);
    pb_put_bool(&w, 10, p->is_learner);
    return w.len;
}

static size_t member_message(uint8_t *out, size_t cap)
{
    struct pb_writer w = pb_write_over(out, cap);
    for (uint64_t id = 7; id < 10; id++) {
        size_t member = pb_begin(&w, 2);
        pb_put_u64(&w, 1, id);
        pb_put_text(&w, 2, id == 9 ? "" : "node");
        pb_put_text(&w, 3, "http://10.0.0.1:2380");
        if (id < 9) {
            pb_put_text(&w, 4, "http://10.0.0.1:2379");
            pb_put_text(&w, 4, "http://[fd00::1]:2379");
        }
        pb_put_bool(&w, 5, id == 8);
        pb_end(&w, member);
    }
    return w.len;
}

static size_t make(void *arg, const struct server_request *r, uint32_t index, uint8_t *out, size_t cap)
{
    const struct etcd_peer *p = arg;
    if (strstr(r->path, "/Snapshot"))
        return snapshot_message(p, index, out, cap);
    return strstr(r->path, "/Status") ? status_message(p, out, cap) : member_message(out, cap);
}

static const struct server_step *snapshot_script(struct etcd_peer *p)
{
    bool cut = p->messages > 0 || p->ending[0].what != SERVER_DONE;
    p->snapshots++;
    memset(p->steps, 0, sizeof p->steps);
    p->steps[0] = (struct server_step){.what = SERVER_HEADERS};
    p->steps[1] = (struct server_step){.what = SERVER_MESSAGES, .count = cut ? p->messages : blobs(p) + 1};
    if (cut)
        memcpy(&p->steps[2], p->ending, sizeof p->ending);
    else
        p->steps[2] = (struct server_step){.what = SERVER_TRAILERS};
    return p->steps;
}

static const struct server_step *maintenance_script(struct etcd_peer *p, const struct server_request *r)
{
    p->asked_len = size_min(r->len, sizeof p->asked);
    memcpy(p->asked, r->body, p->asked_len);
    return p->maintenance_steps;
}

static const struct server_step *script(void *arg, const struct server_request *r)
{
    static const struct server_step one[] = {
        {.what = SERVER_HEADERS}, {.what = SERVER_MESSAGES, .count = 1}, {.what = SERVER_TRAILERS}, {.what = SERVER_DONE}};
    static const struct server_step unknown[] = {{.what = SERVER_TRAILERS, .count = 12, .text = "unknown%20method"}, {0}};
    struct etcd_peer *p = arg;
    if (strcmp(r->path, "/etcdserverpb.Maintenance/Snapshot") == 0)
        return snapshot_script(p);
    if (strcmp(r->path, "/etcdserverpb.Maintenance/Status") == 0) {
        if (p->statuses < ETCD_PEER_VISITS_MAX)
            p->asked_at[p->statuses] = loop_now();
        p->statuses++;
        return p->status_steps ? p->status_steps : one;
    }
    if (p->maintenance_steps && !strstr(r->path, "/MemberList"))
        return maintenance_script(p, r);
    return strcmp(r->path, "/etcdserverpb.Cluster/MemberList") == 0 ? one : unknown;
}

void etcd_peer_open(struct etcd_peer *p)
{
    struct sha256 sha;
    uint8_t some[1024];
    sha256_start(&sha);
    for (uint64_t at = 0; at < p->db_bytes;) {
        size_t len = 0;
        while (len < sizeof some && at < p->db_bytes)
            some[len++] = byte_at(p, at++);
        sha256_update(&sha, (struct bytes){some, len});
    }
    sha256_finish(&sha, p->sha256);
    p->server.script = script;
    p->server.make = make;
    p->server.arg = p;
}

bool etcd_peer_is_whole(const struct etcd_peer *p, struct bytes file)
{
    if (file.len != p->db_bytes + SHA256_BYTES)
        return false;
    for (uint64_t at = 0; at < p->db_bytes; at++)
        if (file.at[at] != byte_at(p, at))
            return false;
    return memcmp(file.at + p->db_bytes, p->sha256, SHA256_BYTES) == 0;
}

/* budget: `holdfast budget`. The profile's table, added up; what a running hub uses of it is in `holdfast top` and /metrics. */
#include "board/command.h"

#include "board/rt/log.h"
#include "net/format/json_write.h"

#include <stdio.h>

static size_t stacks_of(const struct task_budget *b)
{
    return b->fibers * b->stack_bytes;
}

static size_t buffers_of(const struct profile *p)
{
    size_t sum = 0;
    for (unsigned i = 0; i < BUFFER_CLASSES; i++)
        sum += p->buffers[i].bytes * p->buffers[i].count;
    return sum;
}

static size_t assigned(const struct profile *p)
{
    size_t sum = buffers_of(p) + p->pool_threads * p->pool_stack_bytes;
    for (enum task t = 0; t < TASK_COUNT; t++)
        sum += p->task[t].heap_bytes + stacks_of(&p->task[t]);
    return sum;
}

static void print_text(const struct profile *p)
{
    (void)printf("profile %s: %zu KiB of private memory\n\n%-10s %10s %8s %10s %12s %10s\n", p->name, p->total_bytes / 1024,
                 "task", "heap KiB", "fibers", "stack KiB", "connections", "stall s");
    for (enum task t = 0; t < TASK_COUNT; t++) {
        const struct task_budget *b = &p->task[t];
        (void)printf("%-10s %10zu %8u %10zu %12u %10lld\n", task_name(t), b->heap_bytes / 1024, b->fibers, b->stack_bytes / 1024,
                     b->connections, (long long)(b->stall_ms_max / 1000));
    }
    (void)printf("\n%-24s", "I/O buffers");
    for (unsigned i = 0; i < BUFFER_CLASSES; i++)
        (void)printf("%s%u x %zu KiB", i ? ", " : "", p->buffers[i].count, p->buffers[i].bytes / 1024);
    (void)printf("\n%-24s%u threads x %zu KiB stack, %u jobs\n", "pool", p->pool_threads, p->pool_stack_bytes / 1024,
                 p->pool_jobs);
    (void)printf("%-24s%u series, %u samples each where sampled\n", "metrics", p->metric_series, p->metric_samples);
    (void)printf("%-24s%d KiB receive, %d KiB send (kernel memory)\n", "socket buffers", p->socket_receive_bytes / 1024,
                 p->socket_send_bytes / 1024);
    (void)printf("%-24s%zu KiB; %zu KiB left for static data and tables\n", "assigned", assigned(p) / 1024,
                 (p->total_bytes - assigned(p)) / 1024);
}

static void task_json(struct json_writer *w, const struct profile *p, enum task t)
{
    const struct task_budget *b = &p->task[t];
    json_object(w);
    json_put_text(w, "task", task_name(t));
    json_put_u64(w, "heap_bytes", b->heap_bytes);
    json_put_u64(w, "fibers", b->fibers);
    json_put_u64(w, "stack_bytes", b->stack_bytes);
    json_put_u64(w, "connections", b->connections);
    json_put_i64(w, "stall_ms", b->stall_ms_max);
    json_object_end(w);
}

static void print_json(const struct profile *p)
{
    char page[4096];
    struct text t = text_over(page, sizeof page);
    struct json_writer w = json_write_to(&t);
    json_object(&w);
    json_put_text(&w, "profile", p->name);
    json_put_u64(&w, "total_bytes", p->total_bytes);
    json_put_u64(&w, "assigned_bytes", assigned(p));
    json_key(&w, "tasks");
    json_array(&w);
    for (enum task task = 0; task < TASK_COUNT; task++)
        task_json(&w, p, task);
    json_array_end(&w);
    json_key(&w, "buffers");
    json_array(&w);
    for (unsigned i = 0; i < BUFFER_CLASSES; i++) {
        json_object(&w);
        json_put_u64(&w, "bytes", p->buffers[i].bytes);
        json_put_u64(&w, "count", p->buffers[i].count);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_put_u64(&w, "pool_threads", p->pool_threads);
    json_put_u64(&w, "pool_stack_bytes", p->pool_stack_bytes);
    json_object_end(&w);
    ASSERT(json_done(&w));
    (void)printf("%s\n", page);
}

void budget_log(const struct profile *p)
{
    log_info("budget", F("profile", p->name), F_U64("total_bytes", p->total_bytes), F_U64("assigned_bytes", assigned(p)),
             F_U64("buffer_bytes", buffers_of(p)), F_U64("pool_threads", p->pool_threads));
    for (enum task t = 0; t < TASK_COUNT; t++) {
        const struct task_budget *b = &p->task[t];
        log_info("budget of a task", F("of", task_name(t)), F_U64("heap_bytes", b->heap_bytes), F_U64("fibers", b->fibers),
                 F_U64("stack_bytes", b->stack_bytes), F_U64("connections", b->connections), F_MS("stall", b->stall_ms_max));
    }
}

enum exit_code command_budget(const struct command_line *line)
{
    if (line->json)
        print_json(line->profile);
    else
        print_text(line->profile);
    return EXIT_GOOD;
}

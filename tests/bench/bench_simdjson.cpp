// bench_simdjson: simdjson over the file of bench_json, by DOM and On-Demand, picking the same fields. Prints the same lines.
//
//   bench_simdjson FILE ROUNDS
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <initializer_list>
#include <string_view>
#include <vector>

#include <simdjson.h>

struct sums {
    uint64_t pods = 0, text_bytes = 0;
    void text(std::string_view s) { text_bytes += s.size(); }
};

using namespace simdjson;

// What is not there is no error here; whatever else is wrong, is.
template <typename Object> static void texts(Object &object, sums &s, std::initializer_list<const char *> keys)
{
    for (const char *key : keys) {
        std::string_view v;
        auto error = object[key].get_string().get(v);
        if (error == SUCCESS)
            s.text(v);
        else if (error != NO_SUCH_FIELD)
            throw simdjson_error(error);
    }
}

// json_pick keeps numbers as they are written; ours are small and not negative.
static void number(uint64_t n, sums &s)
{
    do
        s.text_bytes++;
    while (n /= 10);
}

// Fields in the order of the file, as On-Demand likes it best.
static void ondemand_pod(ondemand::object pod, sums &s)
{
    ondemand::object metadata = pod["metadata"];
    texts(metadata, s, {"creationTimestamp"});
    ondemand::object labels = metadata["labels"];
    for (auto label : labels)
        s.text(label.value().get_string());
    texts(metadata, s, {"name", "namespace"});
    for (ondemand::object owner : metadata["ownerReferences"].get_array())
        texts(owner, s, {"kind", "name", "uid"});
    texts(metadata, s, {"resourceVersion", "uid"});
    ondemand::object spec = pod["spec"];
    for (ondemand::object container : spec["containers"].get_array())
        texts(container, s, {"image", "name"});
    texts(spec, s, {"nodeName"});
    ondemand::object status = pod["status"];
    for (ondemand::object state : status["containerStatuses"].get_array()) {
        texts(state, s, {"name"});
        bool ready = state["ready"];
        (void)ready;
        number(state["restartCount"].get_uint64(), s);
    }
    texts(status, s, {"phase", "podIP"});
}

static sums by_ondemand(ondemand::parser &parser, const padded_string &text)
{
    sums s;
    ondemand::document list = parser.iterate(text);
    std::string_view version = list["apiVersion"];
    (void)version;
    for (ondemand::object pod : list["items"].get_array()) {
        s.pods++;
        ondemand_pod(pod, s);
    }
    std::string_view kind = list["kind"];
    (void)kind;
    return s;
}

static void dom_pod(dom::object pod, sums &s)
{
    dom::object metadata = pod["metadata"], spec = pod["spec"], status = pod["status"];
    texts(metadata, s, {"creationTimestamp", "name", "namespace", "resourceVersion", "uid"});
    for (auto label : metadata["labels"].get_object())
        s.text(label.value.get_string());
    for (dom::object owner : metadata["ownerReferences"].get_array())
        texts(owner, s, {"kind", "name", "uid"});
    for (dom::object container : spec["containers"].get_array())
        texts(container, s, {"image", "name"});
    texts(spec, s, {"nodeName"});
    for (dom::object state : status["containerStatuses"].get_array()) {
        texts(state, s, {"name"});
        bool ready = state["ready"];
        (void)ready;
        number(state["restartCount"].get_uint64(), s);
    }
    texts(status, s, {"phase", "podIP"});
}

static sums by_dom(dom::parser &parser, const padded_string &text)
{
    sums s;
    dom::element list = parser.parse(text);
    for (dom::object pod : list["items"].get_array()) {
        s.pods++;
        dom_pod(pod, s);
    }
    return s;
}

// Of this thread's CPU, as bench_json has it.
static double cpu_seconds()
{
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

template <typename Read> static void measure(const char *name, const padded_string &text, unsigned rounds, Read read)
{
    std::vector<double> speeds;
    sums s;
    for (unsigned i = 0; i < rounds; i++) {
        double began = cpu_seconds();
        s = read();
        speeds.push_back(double(text.size()) / (cpu_seconds() - began) / 1e6);
    }
    std::sort(speeds.begin(), speeds.end());
    std::printf("%s %.0f %llu %llu 0\n", name, speeds[rounds / 2], (unsigned long long)s.pods, (unsigned long long)s.text_bytes);
}

int main(int argc, char **argv)
try {
    unsigned rounds = argc == 3 ? unsigned(std::strtoul(argv[2], nullptr, 10)) : 0;
    if (rounds == 0) {
        std::fprintf(stderr, "usage: bench_simdjson FILE ROUNDS\n");
        return 2;
    }
    padded_string text = padded_string::load(argv[1]);
    ondemand::parser ondemand;
    dom::parser dom;
    measure("simdjson/ondemand", text, rounds, [&] { return by_ondemand(ondemand, text); });
    measure("simdjson/dom", text, rounds, [&] { return by_dom(dom, text); });
    return 0;
} catch (const std::exception &e) {
    std::fprintf(stderr, "bench_simdjson: %s\n", e.what());
    return 1;
}

// ingest is the opponent of the ingest bench: what one would write in an afternoon with client-go. Shared informers
// of the twenty kinds, one worker that POSTs an event a change with net/http, a rate limit. It keeps every object in
// memory, as informers do, and its queue too; it spools nothing and sends no snapshot. Pods are told in full, other
// kinds by their metadata (the platform's double takes that when told to be lenient).
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// change is one event before it is encoded; object is what the informer holds.
type change struct {
	kind, what string
	object     metav1.Object
	info       any
}

type agent struct {
	cluster string
	initial bool // send the first lists as `added` too
	queue   chan change
	limit   *rate.Limiter
	out     *poster
	sent    int
}

func (a *agent) put(kind, what string, object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		log.Print(err)
		return
	}
	it := change{kind: kind, what: what, object: accessor}
	if what != "deleted" {
		it.info = infoOf(object, accessor)
	}
	a.queue <- it
}

func (a *agent) watch(kind string, informer cache.SharedIndexInformer) error {
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, first bool) {
			if !first || a.initial {
				a.put(kind, "added", object)
			}
		},
		UpdateFunc: func(before, object any) {
			was, _ := meta.Accessor(before)
			is, _ := meta.Accessor(object)
			if was.GetResourceVersion() != is.GetResourceVersion() {
				a.put(kind, "modified", object)
			}
		},
		DeleteFunc: func(object any) { a.put(kind, "deleted", object) },
	})
	return err
}

func (a *agent) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case it := <-a.queue:
			if a.limit.Wait(ctx) != nil {
				return
			}
			a.out.event(ctx, a.cluster, it)
			a.sent++
		}
	}
}

// informersOf gives what makes an informer of each kind asked for; one that is not made watches nothing.
func informersOf(factory informers.SharedInformerFactory, only []string) map[string]func() cache.SharedIndexInformer {
	core, apps, batch := factory.Core().V1(), factory.Apps().V1(), factory.Batch().V1()
	network, rbac := factory.Networking().V1(), factory.Rbac().V1()
	all := map[string]func() cache.SharedIndexInformer{
		"Pod": core.Pods().Informer, "Service": core.Services().Informer, "Namespace": core.Namespaces().Informer,
		"Node": core.Nodes().Informer, "ConfigMap": core.ConfigMaps().Informer, "Secret": core.Secrets().Informer,
		"PersistentVolumeClaim": core.PersistentVolumeClaims().Informer, "ServiceAccount": core.ServiceAccounts().Informer,
		"Event": core.Events().Informer, "Deployment": apps.Deployments().Informer, "StatefulSet": apps.StatefulSets().Informer,
		"DaemonSet": apps.DaemonSets().Informer, "Job": batch.Jobs().Informer, "CronJob": batch.CronJobs().Informer,
		"Ingress": network.Ingresses().Informer, "NetworkPolicy": network.NetworkPolicies().Informer,
		"Role": rbac.Roles().Informer, "ClusterRole": rbac.ClusterRoles().Informer,
		"RoleBinding": rbac.RoleBindings().Informer, "ClusterRoleBinding": rbac.ClusterRoleBindings().Informer,
	}
	for kind := range all {
		if only[0] != "" && !slices.Contains(only, kind) {
			delete(all, kind)
		}
	}
	return all
}

func main() {
	config := flag.String("kubeconfig", "", "how to reach the API server")
	url := flag.String("platform", "", "the platform's URL")
	ca := flag.String("ca", "", "who signed its certificate")
	client := flag.String("client-id", "agent-1", "who we are")
	key := flag.String("key", "", "our EC key, PKCS#8")
	cluster := flag.String("cluster-uid", "bench", "cluster_uid of the events")
	pace := flag.Float64("rate", 10, "events per second")
	burst := flag.Int("burst", 20, "events at once")
	queue := flag.Int("queue", 200000, "events that may wait")
	only := flag.String("kinds", "", "the kinds to watch, with commas; none: all")
	initial := flag.Bool("initial", false, "send the first lists as added")
	flag.Parse()
	out, err := newPoster(*url, *ca, *client, *key)
	must(err)
	rest, err := clientcmd.BuildConfigFromFlags("", *config)
	must(err)
	rest.ContentType = "application/vnd.kubernetes.protobuf" // its fastest form
	kube, err := kubernetes.NewForConfig(rest)
	must(err)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	a := &agent{cluster: *cluster, initial: *initial, queue: make(chan change, *queue), limit: rate.NewLimiter(rate.Limit(*pace), *burst), out: out}
	factory := informers.NewSharedInformerFactory(kube, 0)
	began := time.Now()
	for kind, informer := range informersOf(factory, strings.Split(*only, ",")) {
		must(a.watch(kind, informer()))
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	log.Printf("synced after %.3f s", time.Since(began).Seconds())
	a.work(ctx)
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	log.Printf("sent %d, waiting %d, cpu %.3f s, resident at most %d KiB", a.sent, len(a.queue),
		float64(used.Utime.Nano()+used.Stime.Nano())/1e9, used.Maxrss)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

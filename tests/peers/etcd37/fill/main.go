// fill makes a big etcd database quickly, and prints what it holds as one line of JSON.
//
//	fill -endpoint 127.0.0.1:2379 -bytes 2147483648 -keys 1000000
//
// Values are of mixed size, half random and half text; `-big` of them are over 1 MiB. A share of the keys is
// overwritten, another deleted, then the store is compacted once, and keys of 256 KiB are added until the
// database file has the size asked for. The same seed gives the same content.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

const (
	mib          = 1 << 20
	batchBytes   = 1 * mib
	batchOps     = 1000 // the server runs with --max-txn-ops 4096
	bigBytes     = mib + mib/4
	topUpBytes   = 256 << 10
	perKeyExtra  = 110 // key, protobuf, page and revision overhead of one small value
	messageBytes = 16 * mib
	dataPercent  = 64 // of the file: the rest is pages half full, and what the top-up adds
)

type params struct {
	endpoint            string
	bytes               int64
	keys, big, workers  int
	overwriteP, deleteP int // percent of keys
	seed                int64
	random, text        []byte
	scale               float64
}

type result struct {
	Live        int64   `json:"live"`
	Revision    int64   `json:"revision"`
	Compacted   int64   `json:"compacted"`
	Bytes       int64   `json:"db_bytes"`
	InUse       int64   `json:"db_bytes_in_use"`
	Overwritten int     `json:"overwritten"`
	Deleted     int     `json:"deleted"`
	Big         int     `json:"big"`
	Seconds     float64 `json:"seconds"`
}

func parse() *params {
	p := &params{}
	flag.StringVar(&p.endpoint, "endpoint", "", "host:port, plaintext")
	flag.Int64Var(&p.bytes, "bytes", 2<<30, "size of the database file to reach")
	flag.IntVar(&p.keys, "keys", 1000000, "live keys, at least")
	flag.IntVar(&p.big, "big", 32, "live values over 1 MiB")
	flag.IntVar(&p.overwriteP, "overwrite", 15, "percent of the keys that are overwritten")
	flag.IntVar(&p.deleteP, "delete", 10, "percent of the keys that are made and deleted")
	flag.IntVar(&p.workers, "workers", 8, "concurrent transactions")
	flag.Int64Var(&p.seed, "seed", 1, "same seed, same content")
	flag.Parse()
	puts := int64(p.keys) * int64(100+p.overwriteP+p.deleteP) / 100
	mean := float64(p.bytes*dataPercent/100-int64(p.big)*bigBytes)/float64(puts) - perKeyExtra
	p.scale = mean / meanSize
	if p.scale < 0.01 {
		p.scale = 0.01
	}
	rng := rand.New(rand.NewSource(p.seed))
	p.random = make([]byte, 4*mib)
	rng.Read(p.random)
	for len(p.text) < 4*mib {
		p.text = fmt.Appendf(p.text, `{"kind":"Pod","uid":"%08x","phase":"Running","ready":%t,"restarts":%d},`,
			rng.Uint32(), rng.Intn(2) == 0, rng.Intn(50))
	}
	return p
}

const meanSize = 0.5*288 + 0.4*2304 + 0.1*10240 // of size() below, before scaling

func size(rng *rand.Rand) int {
	switch n := rng.Intn(10); {
	case n < 5:
		return 64 + rng.Intn(448)
	case n < 9:
		return 512 + rng.Intn(3584)
	default:
		return 4096 + rng.Intn(12288)
	}
}

func (p *params) value(rng *rand.Rand, n int) string {
	source := p.random
	if rng.Intn(2) == 0 {
		source = p.text
	}
	at := rng.Intn(len(source) - n)
	return string(source[at : at+n])
}

func (p *params) small(rng *rand.Rand) string {
	return p.value(rng, 16+int(float64(size(rng))*p.scale))
}

func key(i int) string { return fmt.Sprintf("/registry/things/space-%03d/thing-%08d", i%997, i) }

// pick says whether key i belongs to a share of percent; shares with different salts are independent.
func pick(i, salt, percent int) bool {
	return int((uint64(i)+uint64(salt))*0x9E3779B97F4A7C15>>40)%100 < percent
}

// sender gathers operations into transactions; several are under way at a time.
type sender struct {
	client *clientv3.Client
	work   chan []clientv3.Op
	wait   sync.WaitGroup
	ops    []clientv3.Op
	bytes  int
	once   sync.Once
	err    error
}

func newSender(client *clientv3.Client, workers int) *sender {
	s := &sender{client: client, work: make(chan []clientv3.Op, workers)}
	for range workers {
		s.wait.Add(1)
		go s.loop()
	}
	return s
}

func (s *sender) loop() {
	defer s.wait.Done()
	for ops := range s.work {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if _, err := s.client.Txn(ctx).Then(ops...).Commit(); err != nil {
			s.once.Do(func() { s.err = err })
		}
		cancel()
	}
}

func (s *sender) add(op clientv3.Op, bytes int) {
	s.ops = append(s.ops, op)
	s.bytes += bytes
	if len(s.ops) >= batchOps || s.bytes >= batchBytes {
		s.flush()
	}
}

func (s *sender) put(name, value string) { s.add(clientv3.OpPut(name, value), len(name)+len(value)) }

func (s *sender) flush() {
	if len(s.ops) > 0 {
		s.work <- s.ops
	}
	s.ops, s.bytes = nil, 0
}

// close waits for all; the first error, if any.
func (s *sender) close() error {
	s.flush()
	close(s.work)
	s.wait.Wait()
	return s.err
}

func (p *params) putAll(client *clientv3.Client, rng *rand.Rand) error {
	s := newSender(client, p.workers)
	for i := range p.keys {
		s.put(key(i), p.small(rng))
		if pick(i, 1, p.deleteP) {
			s.put(key(i)+"-gone", p.small(rng))
		}
	}
	for i := range p.big {
		s.put(fmt.Sprintf("/registry/big/%04d", i), p.value(rng, bigBytes))
	}
	return s.close()
}

func (p *params) change(client *clientv3.Client, rng *rand.Rand, r *result) error {
	s := newSender(client, p.workers)
	for i := range p.keys {
		if pick(i, 2, p.overwriteP) {
			s.put(key(i), p.small(rng))
			r.Overwritten++
		}
		if pick(i, 1, p.deleteP) {
			s.add(clientv3.OpDelete(key(i)+"-gone"), 64)
			r.Deleted++
		}
	}
	return s.close()
}

func compact(ctx context.Context, client *clientv3.Client, r *result) error {
	head, err := client.Get(ctx, "/", clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	r.Compacted = head.Header.Revision
	_, err = client.Compact(ctx, r.Compacted, clientv3.WithCompactPhysical())
	return err
}

func (p *params) topUp(ctx context.Context, client *clientv3.Client, rng *rand.Rand) (int, error) {
	added := 0
	for {
		status, err := client.Status(ctx, client.Endpoints()[0])
		if err != nil || status.DbSize >= p.bytes {
			return added, err
		}
		free := status.DbSize - status.DbSizeInUse
		more := int((p.bytes-status.DbSize+free)/(topUpBytes*2)) + 1
		s := newSender(client, p.workers)
		for range more {
			s.put(fmt.Sprintf("/registry/more/%08d", added), p.value(rng, topUpBytes))
			added++
		}
		if err := s.close(); err != nil {
			return added, err
		}
		time.Sleep(150 * time.Millisecond) // the backend commits every 100 ms; only then the size is true
	}
}

func (p *params) run(client *clientv3.Client) (*result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	rng := rand.New(rand.NewSource(p.seed + 1))
	r := &result{Big: p.big}
	if err := p.putAll(client, rng); err != nil {
		return nil, err
	}
	if err := p.change(client, rng, r); err != nil {
		return nil, err
	}
	if err := compact(ctx, client, r); err != nil {
		return nil, err
	}
	more, err := p.topUp(ctx, client, rng)
	if err != nil {
		return nil, err
	}
	return r, p.settle(ctx, client, r, int64(p.keys+p.big+more))
}

// settle fills in the totals, and fails when the server does not hold the keys that were put.
func (p *params) settle(ctx context.Context, client *clientv3.Client, r *result, live int64) error {
	all, err := client.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	status, err := client.Status(ctx, client.Endpoints()[0])
	if err != nil {
		return err
	}
	r.Live, r.Revision = all.Count, all.Header.Revision
	r.Bytes, r.InUse = status.DbSize, status.DbSizeInUse
	if all.Count != live {
		return fmt.Errorf("%d keys live, %d expected", all.Count, live)
	}
	return nil
}

func main() {
	p := parse()
	start := time.Now()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{p.endpoint}, DialTimeout: 5 * time.Second, MaxCallSendMsgSize: messageBytes,
		DialOptions: []grpc.DialOption{grpc.WithInitialWindowSize(4 * mib)},
	})
	var r *result
	if err == nil {
		r, err = p.run(client)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fill:", err)
		os.Exit(1)
	}
	r.Seconds = time.Since(start).Seconds()
	_ = json.NewEncoder(os.Stdout).Encode(r)
}

// Produces with franz-go, reads back in a group, and copies through a transaction; prints what came of it.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	bootstrap, topic, out := os.Args[1], os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	names := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	for _, name := range names {
		client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.DefaultProduceTopic(topic),
			kgo.ProducerBatchCompression(codecs[name]))
		check(err)
		for i := 0; i < 20; i++ {
			value := fmt.Sprintf("%s-%02d %s", name, i, strings.Repeat("x", 200))
			client.Produce(ctx, &kgo.Record{Key: []byte(fmt.Sprint(i)), Value: []byte(value)}, nil)
		}
		check(client.Flush(ctx))
		client.Close()
	}
	fmt.Println("produced 100")

	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(topic+"-copy"),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.TransactionalID(topic+"-txn"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(), kgo.DefaultProduceTopic(out))
	check(err)
	copied, aborted := 0, false
	for copied < 100 {
		fetches := session.PollRecords(ctx, 30)
		check(fetches.Err())
		if fetches.NumRecords() == 0 {
			continue
		}
		check(session.Begin())
		fetches.EachRecord(func(r *kgo.Record) { session.Produce(ctx, &kgo.Record{Key: r.Key, Value: r.Value}, nil) })
		how := kgo.TryCommit
		if copied >= 30 && !aborted {
			how, aborted = kgo.TryAbort, true
		}
		ended, err := session.End(ctx, how)
		check(err)
		if ended {
			copied += fetches.NumRecords()
		}
	}
	session.Close()
	fmt.Println("copied", copied, "aborted once:", aborted)

	reader, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(topic+"-read"), kgo.ConsumeTopics(out),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit())
	check(err)
	count := map[string]int{}
	for len(count) < 100 {
		fetches := reader.PollFetches(ctx)
		check(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { count[string(r.Value[:strings.IndexByte(string(r.Value), ' ')])]++ })
	}
	check(reader.CommitUncommittedOffsets(ctx))
	reader.Close()
	var keys []string
	repeats := 0
	for key, n := range count {
		keys = append(keys, key)
		repeats += n - 1
	}
	sort.Strings(keys)
	fmt.Println("read", len(keys), "repeats", repeats, "first", keys[0], "last", keys[len(keys)-1])
}

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

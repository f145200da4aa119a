// Checks our log with the code that checks Go's module database, sumdb/tlog and sumdb/note.
// Reads one JSON object from standard input, writes one to standard output, and exits with 1 at
// the first thing that does not hold.
package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type checkpoint struct {
	Note string
	Size int64
	Root []byte
}

type inclusion struct {
	Index int64
	Size  int64
	Proof [][]byte
}

type consistency struct {
	Old   int64
	Size  int64
	Proof [][]byte
}

type input struct {
	Key         string // verifier key
	Origin      string
	Leaves      [][]byte // leaf bytes, not hashes
	Roots       map[int64][]byte
	Checkpoints []checkpoint
	Inclusion   []inclusion
	Consistency []consistency
}

type output struct {
	Key    string // verifier key made here
	Signed string // a checkpoint signed here
}

func main() {
	var in input
	must(json.NewDecoder(os.Stdin).Decode(&in))

	stored := store(in.Leaves)
	for size, root := range in.Roots {
		if size > 0 && treeHash(size, stored) != hash(root) {
			fail("root of %d", size)
		}
	}
	for _, each := range in.Checkpoints {
		checkCheckpoint(in, each, stored)
	}
	for _, each := range in.Inclusion {
		proof, leaf := hashes(each.Proof), tlog.RecordHash(in.Leaves[each.Index])
		must(tlog.CheckRecord(proof, each.Size, treeHash(each.Size, stored), each.Index, leaf))
		own, err := tlog.ProveRecord(each.Size, each.Index, stored)
		must(err)
		same("inclusion proof", own, proof)
	}
	for _, each := range in.Consistency {
		proof := hashes(each.Proof)
		old, grown := treeHash(each.Old, stored), treeHash(each.Size, stored)
		must(tlog.CheckTree(proof, each.Size, grown, each.Old, old))
		own, err := tlog.ProveTree(each.Size, each.Old, stored)
		must(err)
		same("consistency proof", own, proof)
	}
	must(json.NewEncoder(os.Stdout).Encode(sign(in, stored)))
}

func checkCheckpoint(in input, each checkpoint, stored tlog.HashReader) {
	verifier, err := note.NewVerifier(in.Key)
	must(err)
	opened, err := note.Open([]byte(each.Note), note.VerifierList(verifier))
	must(err)
	if opened.Text != text(in.Origin, each.Size, stored) {
		fail("text of the checkpoint of %d", each.Size)
	}
	bent := strings.Replace(each.Note, "\n", "x\n", 1)
	if _, err := note.Open([]byte(bent), note.VerifierList(verifier)); err == nil {
		fail("an altered checkpoint verifies")
	}
}

func sign(in input, stored tlog.HashReader) output {
	secret, public, err := note.GenerateKey(rand.Reader, in.Origin)
	must(err)
	signer, err := note.NewSigner(secret)
	must(err)
	size := int64(len(in.Leaves))
	signed, err := note.Sign(&note.Note{Text: text(in.Origin, size, stored)}, signer)
	must(err)
	return output{public, string(signed)}
}

func text(origin string, size int64, stored tlog.HashReader) string {
	root := treeHash(size, stored)
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))
}

func store(leaves [][]byte) tlog.HashReader {
	var all []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = all[index]
		}
		return found, nil
	})
	for i, leaf := range leaves {
		more, err := tlog.StoredHashes(int64(i), leaf, reader)
		must(err)
		all = append(all, more...)
	}
	return reader
}

func treeHash(size int64, stored tlog.HashReader) tlog.Hash {
	root, err := tlog.TreeHash(size, stored)
	must(err)
	return root
}

func hashes(raw [][]byte) []tlog.Hash {
	made := make([]tlog.Hash, len(raw))
	for i, each := range raw {
		made[i] = hash(each)
	}
	return made
}

func hash(raw []byte) (made tlog.Hash) {
	if copy(made[:], raw) != tlog.HashSize || len(raw) != tlog.HashSize {
		fail("a hash of %d bytes", len(raw))
	}
	return made
}

func same(what string, own, proof []tlog.Hash) {
	if fmt.Sprint(own) != fmt.Sprint(proof) {
		fail("our %s is another one than Go's", what)
	}
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, arguments ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

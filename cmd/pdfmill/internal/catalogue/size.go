package catalogue

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
)

// Size is what a checkpoint's servers say it takes.
type Size struct {
	Bytes int64
	Err   error // why nobody knows
}

// Sizes asks the servers that weights come from, all at once.
func Sizes(ctx context.Context, weights []Weights) []Size {
	out := make([]Size, len(weights))
	var group sync.WaitGroup
	for i, w := range weights {
		group.Go(func() { out[i].Bytes, out[i].Err = size(ctx, w.Checkpoint) })
	}
	group.Wait()
	return out
}

func size(ctx context.Context, checkpoint string) (total int64, err error) {
	if path, ok := strings.CutPrefix(checkpoint, "s3://"); ok {
		base := strings.TrimRight(cmp.Or(os.Getenv("S3_BASE_URL"), "https://models.datalab.to"), "/") + "/" + path + "/"
		var manifest struct{ Files []string }
		if _, err := ask(ctx, http.MethodGet, base+"manifest.json", &manifest); err != nil {
			return 0, err
		}
		for _, name := range manifest.Files {
			length, err := ask(ctx, http.MethodHead, base+url.PathEscape(name), nil)
			if err != nil {
				return 0, err
			}
			total += max(0, length)
		}
		return total, nil
	}
	repo, files, _ := strings.Cut(strings.TrimPrefix(checkpoint, "hf://"), "#")
	base := strings.TrimRight(cmp.Or(os.Getenv("HF_ENDPOINT"), "https://huggingface.co"), "/")
	var info struct {
		Siblings []struct {
			Name string `json:"rfilename"`
			Size int64  `json:"size"`
		}
	}
	if _, err := ask(ctx, http.MethodGet, base+"/api/models/"+repo+"?blobs=true", &info); err != nil {
		return 0, err
	}
	for _, s := range info.Siblings {
		if files == "" || slices.Contains(strings.Split(files, ","), s.Name) {
			total += s.Size
		}
	}
	return total, nil
}

// ask returns the length of an answer, after reading it as JSON if there is a place for that.
func ask(ctx context.Context, method, address string, into any) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return 0, err
	}
	if token := os.Getenv("HF_TOKEN"); token != "" && strings.Contains(address, "/api/models/") {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("Accept-Encoding", "identity")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s answers %s", request.URL.Host, answer.Status)
	}
	if into == nil {
		return answer.ContentLength, nil
	}
	return answer.ContentLength, json.NewDecoder(answer.Body).Decode(into)
}

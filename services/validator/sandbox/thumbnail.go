package sandbox

import (
	"bytes"
	"fmt"
	"image/png"

	"github.com/klippa-app/go-pdfium/requests"
)

// maxThumbnail bounds the picture in bytes; a larger one is left out.
const maxThumbnail = 1 << 20

// thumbnail draws a page in small. The error is the sandbox's end.
func (l *look) thumbnail(page int) error {
	l.at = page
	drawn, err := l.instance.RenderPageInPixels(&requests.RenderPageInPixels{
		Page:  requests.Page{ByIndex: &requests.PageByIndex{Document: l.document, Index: page - 1}},
		Width: l.question.Thumbnail, Height: l.question.Thumbnail, ImageFormat: requests.RenderImageFormatGrayscale,
	})
	if err != nil {
		return fmt.Errorf("draw page %d: %w", page, err)
	}
	defer drawn.Cleanup()
	var picture bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&picture, drawn.Result.RenderedImage); err != nil || picture.Len() > maxThumbnail {
		picture.Reset()
	}
	l.say(answer{Code: codeThumbnail, Thumbnail: picture.Bytes()})
	return nil
}

package browser

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"maps"
	"slices"
)

// small makes a picture of a page small: with the 256 colours that it has most
// of, it looks the same.
func small(picture []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	bounds := full.Bounds()
	counts := make(map[color.RGBA]int)
	at := func(x, y int) color.RGBA {
		c := color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)
		const coarse = 0xf8 // what differs less than that looks the same
		return color.RGBA{c.R & coarse, c.G & coarse, c.B & coarse, 0xff}
	}
	exact := make(map[color.RGBA]color.RGBA) // one that is there, for each coarse one
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := at(x, y)
			if counts[c]++; counts[c] == 1 {
				exact[c] = color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)
			}
		}
	}
	most := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	const colours = 256
	var palette color.Palette
	for _, c := range most[:min(len(most), colours)] {
		palette = append(palette, exact[c])
	}
	nearest := make(map[color.RGBA]uint8)
	paletted := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := at(x, y)
			index, found := nearest[c]
			if !found {
				index = uint8(palette.Index(full.At(x, y))) //nolint:gosec // of 256
				nearest[c] = index
			}
			paletted.Pix[paletted.PixOffset(x, y)] = index
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err = encoder.Encode(&out, paletted)
	return out.Bytes(), err
}

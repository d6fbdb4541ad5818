package templates

// Limits on what one text may be and do. They are far above what a
// configuration file needs, and keep a mistake from eating the machine.
const (
	// MaxTemplateSize is the size in bytes of the largest text that is parsed.
	MaxTemplateSize = 1 << 20
	// MaxOutputSize is the size in bytes of the largest result.
	MaxOutputSize = 16 << 20
	// MaxFileSize is the size in bytes of the largest file that `file` reads.
	MaxFileSize = 1 << 20
	// MaxDepth is how many blocks may be open inside each other.
	MaxDepth = 32
	// MaxFilters is how many filters one placeholder may have.
	MaxFilters = 32
	// MaxMistakes is how many mistakes of one text are reported.
	MaxMistakes = 100

	// maxValueSize is the size in bytes of the largest value between filters.
	maxValueSize = 4 << 20
	// maxItems is the number of items of the longest list between filters.
	maxItems = 1 << 16
	// maxIndent is the largest number of spaces that indent adds to a line.
	maxIndent = 100
	// maxPattern is the length in bytes of the longest regular expression.
	maxPattern = 1024
	// maxGroups is how many groups a regular expression may have.
	maxGroups = 32
	// maxSteps is how many names the path of get may have.
	maxSteps = 32
	// maxWork bounds one rendering, so that blocks inside blocks that print
	// nothing end too, in less than a second. Its unit is about a byte touched.
	maxWork = 1 << 28
	// workPerNode is what looking at one node of the tree counts for, in the
	// unit of maxWork.
	workPerNode = 16
	// maxQuoted is how many bytes of a word of the text an error repeats.
	maxQuoted = 40
	// maxDelimiter is the length in bytes of the longest delimiter.
	maxDelimiter = 8
)

"""The operations: one module per noun, one public function per verb, one CLI script each."""

// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's functions on text, as far as fuzz_kernel.h declares them. */
#include "fuzz_kernel.h"

#undef vsnprintf
#undef snprintf
int snprintf(char *to, size_t size, const char *format, ...);

struct output { char *to; size_t size, length; };

static void put(struct output *out, const char *text, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++, out->length++)
		if (out->length + 1 < out->size)
			out->to[out->length] = text[i];
}

/* %*phN: each byte is read, so that one that is not there is noticed. */
static void put_hex(struct output *out, const unsigned char *bytes, int count)
{
	char digits[3];
	int i;

	for (i = 0; bytes && i < (count < 64 ? count : 64); i++) {
		snprintf(digits, sizeof(digits), "%02x", bytes[i]);
		put(out, digits, 2);
	}
}

static void put_number(struct output *out, const char *conversion, size_t length, va_list *args)
{
	char format[16], text[40];
	unsigned long long number;
	bool wide = memchr(conversion, 'l', length);

	FUZZ_CHECK(length < sizeof(format) - 2);
	number = wide ? va_arg(*args, unsigned long long) : va_arg(*args, unsigned int);
	if (conversion[length - 1] == 'd' && !wide)
		number = (unsigned long long)(int)number;
	snprintf(format, sizeof(format), "%%ll%c", conversion[length - 1]);
	snprintf(text, sizeof(text), format, number);
	put(out, text, strlen(text));
}

/* As much as the helper module uses; traps at the rest, so that it is added here. */
int fuzz_vsnprintf(char *to, size_t size, const char *format, va_list original)
{
	struct output out = { to, size, 0 };
	va_list args;

	va_copy(args, original);
	for (; *format; format++) {
		size_t length;

		if (*format != '%') {
			put(&out, format, 1);
			continue;
		}
		format++;
		length = strcspn(format, "sudxpc%") + 1;
		if (!strncmp(format, "*phN", 4)) {
			int count = va_arg(args, int);

			put_hex(&out, va_arg(args, const unsigned char *), count);
			length = 4;
		} else if (format[0] == 's') {
			const char *text = va_arg(args, const char *);

			put(&out, text ? text : "(null)", text ? strlen(text) : 6);
		} else if (!strncmp(format, "ps", 2)) {
			va_arg(args, void *);
			put(&out, "0x0", 3);
			length = 2;
		} else {
			FUZZ_CHECK(length && strchr("udx", format[length - 1]));
			put_number(&out, format, length, &args);
		}
		format += length - 1;
	}
	va_end(args);
	if (size)
		to[out.length < size ? out.length : size - 1] = '\0';
	return (int)out.length;
}

int fuzz_snprintf(char *to, size_t size, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = fuzz_vsnprintf(to, size, format, args);
	va_end(args);
	return length;
}

void fuzz_print(const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	fuzz_vsnprintf(line, sizeof(line), format, args);
	va_end(args);
}

ssize_t strscpy(char *to, const char *from, size_t size)
{
	size_t length = strnlen(from, size);

	FUZZ_CHECK(size);
	if (length == size) {
		memcpy(to, from, size - 1);
		to[size - 1] = '\0';
		return -E2BIG;
	}
	memcpy(to, from, length + 1);
	return length;
}

char *strreplace(char *text, char old, char new)
{
	char *at;

	for (at = text; *at; at++)
		if (*at == old)
			*at = new;
	return text;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (unsigned char)c == 0xa0;
}

char *skip_spaces(const char *text)
{
	while (is_space(*text))
		text++;
	return (char *)text;
}

int match_string(const char *const *words, size_t count, const char *text)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (!strcmp(words[i], text))
			return i;
	return -EINVAL;
}

char *strim(char *text)
{
	size_t length = strlen(text);

	while (length && is_space(text[length - 1]))
		text[--length] = '\0';
	return skip_spaces(text);
}

int kstrtouint(const char *text, unsigned int base, unsigned int *number)
{
	unsigned long long value = 0;
	const char *at = text + (*text == '+');

	FUZZ_CHECK(base == 10);
	if (!isdigit(*at))
		return -EINVAL;
	for (; isdigit(*at); at++) {
		value = 10 * value + (*at - '0');
		if (value > UINT_MAX)
			return -ERANGE;
	}
	if (*at == '\n')
		at++;
	if (*at)
		return -EINVAL;
	*number = (unsigned int)value;
	return 0;
}

unsigned int full_name_hash(const void *salt, const char *name, unsigned int length)
{
	unsigned int hash = 2166136261u;

	while (length--)
		hash = (hash ^ (unsigned char)*name++) * 16777619u;
	return hash;
}

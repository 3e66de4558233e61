# SPDX-License-Identifier: MIT
# Writes the archives and arrays of this folder, as NumPy itself does: python3 tests/unit/numpy/record.py
# Needs NumPy 1.24 (python3-numpy). Run by hand; the recordings are committed. tests/unit/runtime_numpy.c reads them.
import io
import os
import struct
import zipfile
import zlib
import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
# Example i, row j, column k of 4 x 2 x 3: 7 i + 3 j + k; with a sign 5 less, a fraction a quarter more.
count = np.arange(4)[:, None, None] * 7 + np.arange(2)[None, :, None] * 3 + np.arange(3)[None, None, :]


def values(kind):
    shift = {'b': 0, 'u': 0, 'i': -5, 'f': -4.75}[kind]
    return count % 2 == 1 if kind == 'b' else count + shift


arrays = {}
for kind, widths in {'b': [1], 'u': [1, 2, 4, 8], 'i': [1, 2, 4, 8], 'f': [4, 8]}.items():
    for width in widths:
        for order in 'CF':
            for end in '<>' if width > 1 else '|':
                name = f'{kind}{width}{ {"<": "le", ">": "be", "|": ""}[end] }{order}'
                arrays[name] = np.array(values(kind), dtype=f'{end}{kind}{width}', order=order)
np.savez(os.path.join(here, 'plain.npz'), **arrays)
np.savez_compressed(os.path.join(here, 'packed.npz'), **arrays)
for version in [(1, 0), (2, 0), (3, 0)]:
    with open(os.path.join(here, f'version{version[0]}.npy'), 'wb') as file:
        np.lib.format.write_array(file, np.array(values('f'), dtype='<f4'), version=version)
np.save(os.path.join(here, 'labels.npy'), np.array([0, 2, 1, 2], dtype='<i8'))
np.save(os.path.join(here, 'half.npy'), np.zeros((4, 2), dtype='f2'))
np.save(os.path.join(here, 'objects.npy'), np.array([{}, 1, 'a', None], dtype=object), allow_pickle=True)
np.save(os.path.join(here, 'records.npy'), np.zeros(4, dtype=[('x', 'f4'), ('y', 'i4')]))
np.save(os.path.join(here, 'texts.npy'), np.array(['a', 'bc', 'd', 'e']))
np.save(os.path.join(here, 'single.npy'), np.array(3.5))

# For tests/errors/data/formats-agree: 8 images and their classes, and 8 points.
pixels = (np.arange(32) * 7 % 256).astype('u1').reshape(8, 2, 2)
classes = np.array([0, 1] * 4, dtype='<i8')
points = (np.arange(24) * 5 % 17).reshape(8, 3) / 4
np.save(os.path.join(here, 'pixels.npy'), pixels)
np.save(os.path.join(here, 'classes.npy'), classes)
np.savez_compressed(os.path.join(here, 'images.npz'), x_train=pixels, y_train=classes, x_test=pixels[:3], y_test=classes[:3])
np.savez(os.path.join(here, 'points.npz'), x=np.asfortranarray(points, dtype='>f8'), kind=classes, weight=points[:, 0].astype('<f4'))
with zipfile.ZipFile(os.path.join(here, 'points.npz'), 'a') as file: # what is no array is no business of the reader
    file.writestr('readme.txt', 'eight points')

# As an archive of more than 4 GiB says its sizes and places (APPNOTE 4.3.14, 4.5.3), small; NumPy reads it.
file = io.BytesIO()
np.save(file, np.array(values('f'), dtype='<f4'))
body, name, none = file.getvalue(), b'f4.npy', 0xffffffff
local = struct.pack('<IHHHHHIIIHH', 0x04034b50, 45, 0, 0, 0, 0, zlib.crc32(body), none, none, len(name), 20) + name
local += struct.pack('<HHQQ', 1, 16, len(body), len(body)) + body
wide = struct.pack('<HHQQQ', 1, 24, len(body), len(body), 0)
entry = struct.pack('<IHHHHHHIIIHHHHHII', 0x02014b50, 45, 45, 0, 0, 0, 0, zlib.crc32(body), none, none, len(name), len(wide), 0, 0, 0,
                    0, none) + name + wide
end = struct.pack('<IQHHIIQQQQ', 0x06064b50, 44, 45, 45, 0, 0, 1, 1, len(entry), len(local))
end += struct.pack('<IIQI', 0x07064b50, 0, len(local) + len(entry), 1)
end += struct.pack('<IHHHHIIH', 0x06054b50, 0, 0, 0xffff, 0xffff, none, none, 7) + b'comment'
with open(os.path.join(here, 'wide.npz'), 'wb') as file:
    file.write(local + entry + end)
assert np.load(os.path.join(here, 'wide.npz'))['f4'][3, 1, 2] == 21.25

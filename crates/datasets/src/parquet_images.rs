//! Pictures in Parquet, as HuggingFace's `datasets` lays them out: a struct column of `bytes` (a JPEG or PNG) and
//! `path`, and a column of whole-number labels. One row group is in memory at a time.
//!
//! The crate `parquet` believes the sizes that a file announces, so [`thrift`] looks at them first: footer and page
//! headers are walked through, and no list, page or dictionary may be larger than the bytes behind it allow.

mod thrift;

use std::io::{self, BufReader, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::basic::Type as Physical;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, FileReader, Length};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::ColumnDescriptor;

use crate::container::Source;
use crate::transforms::Preprocess;
use crate::{Error, ImageSet, ImageShape, Result, decode};

/// The most rows of a row group (HuggingFace writes 100 or 1000).
pub const ROWS_LIMIT: usize = 1 << 20;

/// The most bytes of a row group's column, unpacked.
pub const GROUP_LIMIT: u64 = 512 << 20;

/// What to do about a damaged file.
const AGAIN: &str = "the file is damaged or cut short: download it again";

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its path, where the file has paths.
    pub path: Option<String>,
    /// The encoded picture.
    pub bytes: Vec<u8>,
    /// Its label, where the file has labels.
    pub label: Option<i64>,
}

/// A Parquet file of pictures, opened.
pub struct ParquetImages {
    path: PathBuf,
    source: Source,
    reader: SerializedFileReader<Source>,
    picture: usize,
    name: Option<usize>,
    label: Option<usize>,
}

impl ParquetImages {
    /// Opens a file. Its only column of bytes in a struct is taken for the picture; for the label the column called
    /// `label` or `fine_label`, or else the only one of whole numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Format`] where it is damaged or not laid out so.
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(path, Source::open(path)?)
    }

    /// Opens a file in memory; `path` only names it in errors.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::new(path, Source::memory(bytes))
    }

    fn new(path: &Path, source: Source) -> Result<Self> {
        let damaged = |problem: String| Error::format(path, "footer", problem, AGAIN);
        thrift::check_footer(&source).map_err(damaged)?;
        let reader = guarded(|| SerializedFileReader::new(source.clone())).map_err(damaged)?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let columns: Vec<(Vec<&str>, &ColumnDescriptor)> = schema
            .columns()
            .iter()
            .map(|column| {
                let parts = column.path().parts().iter().map(String::as_str);
                (parts.collect(), &**column)
            })
            .collect();
        let find = |wanted: &dyn Fn(&[&str], &ColumnDescriptor) -> bool| {
            columns
                .iter()
                .position(|(parts, column)| column.max_rep_level() == 0 && wanted(parts, column))
        };
        let of_bytes = |column: &ColumnDescriptor| column.physical_type() == Physical::BYTE_ARRAY;
        let whole = |column: &ColumnDescriptor| {
            matches!(column.physical_type(), Physical::INT32 | Physical::INT64)
        };
        let picture = find(&|parts, column| matches!(parts, [_, "bytes"]) && of_bytes(column));
        let Some(picture) = picture else {
            let names: Vec<String> = columns.iter().take(20).map(|(p, _)| p.join(".")).collect();
            let problem = format!("no picture among the columns {}", names.join(", "));
            let mend = "a struct column of `bytes` and `path` is needed, as HuggingFace writes it";
            return Err(Error::format(path, "columns", problem, mend));
        };
        let group = columns[picture].0[0];
        let name = find(&|parts, column| parts == [group, "path"] && of_bytes(column));
        let named = |wanted: &str| find(&|parts, column| parts == [wanted] && whole(column));
        let only = || {
            let mut all = (0..columns.len()).filter(|&place| {
                let (parts, column) = &columns[place];
                parts.len() == 1 && column.max_rep_level() == 0 && whole(column)
            });
            all.next().filter(|_| all.next().is_none())
        };
        let label = named("label").or_else(|| named("fine_label")).or_else(only);
        Ok(Self {
            path: path.to_path_buf(),
            source,
            picture,
            name,
            label,
            reader,
        })
    }

    /// Number of row groups.
    pub fn groups(&self) -> usize {
        self.reader.metadata().num_row_groups()
    }

    /// The rows of a row group.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where it is damaged or larger than is read.
    ///
    /// # Panics
    ///
    /// If `group` is not below [`groups`](Self::groups).
    pub fn rows(&self, group: usize) -> Result<Vec<Row>> {
        let entry = format!("row group {group}");
        let damaged = |problem: String| Error::format(&self.path, entry.as_str(), problem, AGAIN);
        let metadata = self.reader.metadata().row_group(group);
        let rows = usize::try_from(metadata.num_rows())
            .ok()
            .filter(|&rows| rows <= ROWS_LIMIT)
            .ok_or_else(|| {
                let found = metadata.num_rows();
                damaged(format!("{found} rows; at most {ROWS_LIMIT} are read"))
            })?;
        let columns = [Some(self.picture), self.name, self.label];
        for &column in columns.iter().flatten() {
            let chunk = metadata
                .columns()
                .get(column)
                .ok_or_else(|| damaged("a column is missing".into()))?;
            thrift::check_pages(&self.source, chunk, rows).map_err(damaged)?;
        }
        let read = || {
            let group = self.reader.get_row_group(group)?;
            let column = |place: usize| group.get_column_reader(place);
            let pictures = texts(column(self.picture)?, rows)?;
            let names = self.name.map(|place| texts(column(place)?, rows));
            let labels = self.label.map(|place| numbers(column(place)?, rows));
            Ok((pictures, names.transpose()?, labels.transpose()?))
        };
        let (pictures, names, labels) = guarded(read).map_err(damaged)?;
        let mut names = names.map(Vec::into_iter);
        let mut labels = labels.map(Vec::into_iter);
        let mut all = Vec::with_capacity(pictures.len());
        for (row, picture) in pictures.into_iter().enumerate() {
            let Some(picture) = picture else {
                let entry = format!("row {row} of row group {group}");
                let mend = "write the file with its pictures embedded (`embed_external_files`)";
                let problem = "the picture is not in the file";
                return Err(Error::format(&self.path, entry, problem, mend));
            };
            let name = names.as_mut().and_then(Iterator::next).flatten();
            all.push(Row {
                path: name.map(|name| String::from_utf8_lossy(name.data()).into_owned()),
                bytes: picture.data().to_vec(),
                label: labels.as_mut().and_then(Iterator::next).flatten(),
            });
        }
        Ok(all)
    }

    /// All pictures, decoded and transformed, in the order of the rows; `id` makes the id of a row of its number.
    /// Rows without a label are out of distribution.
    ///
    /// # Errors
    ///
    /// As [`rows`](Self::rows); where a picture is damaged.
    pub fn image_set(
        &self,
        name: impl Into<String>,
        preprocess: &Preprocess,
        mut id: impl FnMut(usize, &Row) -> String,
    ) -> Result<ImageSet> {
        let (mut pixels, mut labels, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for group in 0..self.groups() {
            for row in self.rows(group)? {
                let entry = format!("row {} ({})", ids.len(), row.path.as_deref().unwrap_or("-"));
                let picture = decode::rgb(&row.bytes, &self.path, &entry)?;
                pixels.extend(preprocess.apply(&picture)?.into_pixels());
                labels.push(row.label.unwrap_or(crate::OUT_OF_DISTRIBUTION));
                ids.push(id(ids.len(), &row));
            }
        }
        let shape = ImageShape {
            channels: 3,
            height: preprocess.crop,
            width: preprocess.crop,
        };
        ImageSet::new(name, shape, pixels, labels, ids)
    }
}

/// Runs the crate's code, which panics on some damaged files.
fn guarded<T>(run: impl FnOnce() -> ParquetResult<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the Parquet reader broke down on it".into()),
    }
}

fn texts(reader: ColumnReader, rows: usize) -> ParquetResult<Vec<Option<ByteArray>>> {
    match reader {
        ColumnReader::ByteArrayColumnReader(reader) => values(reader, rows),
        _ => Err(ParquetError::General("not a column of bytes".into())),
    }
}

fn numbers(reader: ColumnReader, rows: usize) -> ParquetResult<Vec<Option<i64>>> {
    match reader {
        ColumnReader::Int64ColumnReader(reader) => values(reader, rows),
        ColumnReader::Int32ColumnReader(reader) => {
            let values = values(reader, rows)?.into_iter();
            Ok(values.map(|value| value.map(i64::from)).collect())
        }
        _ => Err(ParquetError::General("not of whole numbers".into())),
    }
}

/// Every value of a column that does not repeat.
fn values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
) -> ParquetResult<Vec<Option<T::T>>> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut met = 0;
    while met < rows {
        let (records, _, _) =
            reader.read_records(rows - met, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        met += records;
    }
    if met != rows {
        let problem = format!("{met} values where {rows} are announced");
        return Err(ParquetError::General(problem));
    }
    if levels.is_empty() {
        return Ok(values.into_iter().map(Some).collect());
    }
    // Fewer values than levels: those below the highest level are missing.
    let deepest = levels.iter().copied().max().unwrap_or(0);
    let missing = levels.len() - values.len().min(levels.len());
    let present = |level: &i16| *level == deepest && missing < levels.len();
    if levels.iter().filter(|level| present(level)).count() != values.len() {
        return Err(ParquetError::General("levels and values do not fit".into()));
    }
    let mut values = values.into_iter();
    let row = |level: &i16| present(level).then(|| values.next()).flatten();
    Ok(levels.iter().map(row).collect())
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.length()
    }
}

impl ChunkReader for Source {
    type T = BufReader<Source>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let mut source = self.clone();
        source.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(source))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes: io::Result<Vec<u8>> = self.bytes_at(start, length as u64);
        Ok(bytes?.into())
    }
}
